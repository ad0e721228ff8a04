/* modules/running.h - one module on one host, from its start, which nobody sees, through the commit
 * that offers it, maybe in another's place, to its stop. For modules/registry, whose lock covers
 * every call that changes anything; lists are read under RCU. */
#pragma once

#include "modules/domain_set.h"
#include "modules/plan.h"

/* One row of a running module, registered with the dispatcher. */
struct answering {
	struct running *owner;
	const struct iq_row *row;
	struct iqdisc disc;
	bool given; /* another module's row has taken its place */
};

struct service {
	RCU_PTR(struct service) next;
	char *domain;
	char *title;
	service_fn *fn;
	void *arg;
	bool routed; /* the domain is ours in the route table: since the commit, until given away */
};

struct running {
	struct module_instance mi;
	RCU_PTR(struct running) next; /* of the host, in the order started */
	struct options *options; /* one reference; mi.conf is their conf */
	struct answering *answering;
	unsigned n_answering; /* registered */
	unsigned n_hooks; /* added */
	bool has_children; /* the module's are its own; those of who takes over, from then on */
	struct registry_change *starting_in; /* while start() runs */
	bool leaving; /* stops with the commit of the change that is being prepared */
	RCU_PTR(struct service) services;
};

/* One host of a change. */
struct host_plan {
	struct host *host;
	const struct conf_node *at;
	struct plan plan;
};
struct registry_change {
	struct host_plan *hosts;
	size_t n_hosts;
	struct host **gone;
	size_t n_gone;
	struct domain_set afterwards; /* the hosts' names, and what the fresh will serve */
};

/* Of a host, in the order started. */
struct running *running_first(struct host *h);
struct running *running_next(struct running *r);

/* Starts one that nobody sees yet, as p->fresh; it takes the plan's options. 0, or a negative errno
 * and e says why. */
int running_start(
	struct registry_change *c, struct host *h, struct planned *p, struct conf_errors *e);
/* Of one that was started and not offered: stops it. */
void running_take_back(struct running *r);
/* Offers p->fresh, in the place of p->running if there is one. Cannot fail. */
void running_offer(struct planned *p, const struct registry_change *c);
/* Withdraws all that it offers, waits until nobody uses it, and stops it. */
void running_stop(struct running *r);
/* Gives p->running other options, if they are others. */
void running_hand_over(struct planned *p);

/* modules/running_domains.c */
/* After the commit of c nobody who is there by now has the domain. */
bool running_comes_free(const struct registry_change *c, const char *domain);
/* The domains that start() asked for become the module's, those of one that is leaving at once. */
void running_take_domains(struct running *r, const struct registry_change *c);
void running_drop_domains(struct running *r);
