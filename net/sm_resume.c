/* net/sm_resume.c - how a <resume/> is read, and its connection moved. */
#include "net/sm_resume.h"

#include <string.h>

#include "net/acceptor.h"
#include "net/sm_element.h"

int sm_read_resume(
	const struct elem *resume, uint8_t id[SM_ID_BYTES], uint32_t *h, struct sm_place *place)
{
	const char *previd = elem_attr(resume, "previd");

	if (!previd || !sm_read_h(resume, h))
		return ERR_BAD_REQUEST;
	return sm_id_read(previd, id) && sm_place_find(id, place) ? 0 : ERR_ITEM_NOT_FOUND;
}

bool sm_connection_leave(struct sm_connection *m, struct stream *st, struct listener **listener,
	struct listener_options **options)
{
	if (!stream_leave(st, &m->stream))
		return false;
	m->listener = *listener;
	m->options = *options;
	*listener = NULL;
	*options = NULL;
	return true;
}

ON_SHARD static void release(struct sm_connection *m)
{
	accepted_release(m->listener, m->options, &m->origin.address, false);
}

bool sm_connection_arrive(struct sm_connection *m, struct stream *st,
	const struct stream_events *events, const char *name, struct listener **listener,
	struct listener_options **options)
{
	const struct parser_limits limits = listener_limits(&m->options->conf);

	if (!stream_arrive(st, &m->stream, &limits, events, name)) {
		release(m);
		return false;
	}
	*listener = m->listener;
	*options = m->options;
	return true;
}

void sm_connection_end(struct sm_connection *m)
{
	stream_moving_end(&m->stream);
	release(m);
}
