/* bench/bench_board.c - anonymous memory, shared with the processes forked afterwards. */
#include "bench/bench_board.h"

#include <sys/mman.h>

const char *phase_name(enum phase p)
{
	static const char *const names[] = { "register", "login", "warm-up", "measure", "drain",
		"close" };

	return names[p];
}

struct board *board_new(unsigned processes)
{
	size_t size = sizeof(struct board) + processes * sizeof(struct share);
	struct board *b =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (b == MAP_FAILED)
		return NULL;
	b->processes = processes;
	b->size = size;
	for (unsigned i = 0; i < processes; i++)
		atomic_init(&b->shares[i].phase, PHASE_LOGIN);
	return b;
}

void board_free(struct board *b)
{
	if (b)
		munmap(b, b->size);
}
