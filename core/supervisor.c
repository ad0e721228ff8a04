/* core/supervisor.c - a supervisor's life, and the work that waits for its turn: the ends of
 * children, and requests. After Erlang's supervisor. */
#include "core/supervisor.h"

#include <errno.h>
#include <stdio.h>

#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/supervisor_inside.h"

static struct metric restarts =
	METRIC_COUNTER("supervisor_restarts_total", "Restarts of children that had ended");
static struct metric escalations = METRIC_COUNTER("supervisor_escalations_total",
	"Supervisors that ended because there were too many restarts");

static struct supervisor *supervisor_of(struct gen *g)
{
	return caa_container_of(g, struct supervisor, gen);
}

/* --- its children --- */

static struct child *first_child(struct supervisor *s)
{
	return cds_list_empty(&s->children)
		? NULL
		: cds_list_first_entry(&s->children, struct child, node);
}

static struct child *last_child(struct supervisor *s)
{
	return cds_list_empty(&s->children) ? NULL
					    : cds_list_entry(s->children.prev, struct child, node);
}

/* A start is through that was waited for, or a child has ended. */
static void child_changed(struct child *c)
{
	struct supervisor *s;

	shard_check(NULL);
	s = caa_container_of(actor_find(c->keeper), struct supervisor, gen.actor);
	if (s->awaited == c)
		s->awaited = NULL;
	else
		cds_list_add_tail(&c->exit, &s->exits);
	supervisor_run(s);
}

struct child *supervisor_add(struct supervisor *s, const struct child_spec *spec)
{
	struct child *c = child_new(spec, s->gen.actor.id, child_changed);

	if (s->plan.strategy == SIMPLE_ONE_FOR_ONE)
		snprintf(c->id, sizeof(c->id), "%.42s#%llu", spec->id,
			(unsigned long long)++s->serial);
	cds_list_add_tail(&c->node, &s->children);
	s->n_children++;
	return c;
}

void supervisor_remove(struct supervisor *s, struct child *c)
{
	cds_list_del(&c->node);
	s->n_children--;
	child_free(c);
}

struct child *supervisor_find(struct supervisor *s, const char *id)
{
	struct child *c;

	cds_list_for_each_entry (c, &s->children, node) {
		if (strcmp(c->id, id) == 0)
			return c;
	}
	return NULL;
}

void supervisor_affected(
	struct supervisor *s, struct child *c, struct child **first, struct child **last)
{
	*first = s->plan.strategy == ONE_FOR_ALL ? first_child(s) : c;
	*last = s->plan.strategy == ONE_FOR_ALL || s->plan.strategy == REST_FOR_ONE ? last_child(s)
										    : c;
}

/* --- when a child has ended --- */

static void restart(struct supervisor *s, struct child *c);

static void restarted(struct supervisor *s, struct child *failed)
{
	shard_check(NULL);
	if (failed && !s->ending)
		restart(s, failed); /* counts like any other end */
}

/* s->move is what is to be done about it. */
static void restart(struct supervisor *s, struct child *c)
{
	struct child *first, *last;

	shard_check(NULL);
	if (!intensity_allows(&s->intensity, shard_now_ms())) {
		metric_add(&escalations, 1);
		log_error("supervisor", "gives up: too many restarts", L_STR("child", c->id),
			L_STR("reason", c->reason), L_INT("max_restarts", s->plan.max_restarts),
			L_INT("within_s", s->plan.within_s));
		s->ending = STOP_INTENSITY;
		return;
	}
	metric_add(&restarts, 1);
	supervisor_affected(s, c, &first, &last);
	move_range(s, first, last, START_RESTARTABLE, restarted);
}

static void report_end(const struct child *c)
{
	if (strcmp(c->reason, STOP_NORMAL) != 0)
		log_warning("supervisor", "a child ended", L_STR("child", c->id),
			L_STR("reason", c->reason), L_INT("restarts", c->restarts));
}

static void exit_begin(struct supervisor *s, struct child *c)
{
	shard_check(NULL);
	cds_list_del_init(&c->exit);
	report_end(c);
	if (c->spec.restart == CHILD_PERMANENT ||
		(c->spec.restart == CHILD_TRANSIENT && !c->finished))
		restart(s, c);
	else if (s->plan.strategy == SIMPLE_ONE_FOR_ONE)
		supervisor_remove(s, c); /* its specification is not its own */
}

/* --- its end --- */

static void children_gone(struct supervisor *s, struct child *failed UNUSED)
{
	shard_check(NULL);
	s->over = true;
	if (s->in_init)
		s->init_result = (struct next){ .kind = NEXT_STOP, .reason = s->ending };
	else
		gen_stop(&s->gen, s->ending);
}

static bool stops_later(struct gen *g, const char *reason)
{
	struct supervisor *s = supervisor_of(g);

	shard_check(NULL);
	if (strcmp(reason, STOP_KILLED) == 0)
		return false;
	if (!s->ending)
		s->ending = reason;
	supervisor_run(s);
	return true;
}

/* --- one thing at a time --- */

/* Begins what is next; false when there is nothing to do. */
static bool next_work(struct supervisor *s)
{
	struct request *r;

	shard_check(NULL);
	if (s->ending) {
		move_range(s, first_child(s), last_child(s), START_NONE, children_gone);
	} else if (!cds_list_empty(&s->exits)) {
		exit_begin(s, cds_list_first_entry(&s->exits, struct child, exit));
	} else if (!cds_list_empty(&s->requests)) {
		r = cds_list_first_entry(&s->requests, struct request, node);
		cds_list_del(&r->node);
		request_begin(s, r);
	} else {
		return false;
	}
	return true;
}

void supervisor_run(struct supervisor *s)
{
	struct actor_id id = s->gen.actor.id;
	bool goes_on = true;

	while (goes_on && actor_find(id) && !s->over)
		goes_on = s->move.stage == STAGE_IDLE ? next_work(s) : move_step(s);
}

/* --- its start --- */

static void children_started(struct supervisor *s, struct child *failed)
{
	const struct next wait = { .kind = NEXT_WAIT };

	shard_check(NULL);
	if (failed && !s->ending)
		s->ending = STOP_SHUTDOWN;
	if (s->ending)
		return;
	if (s->in_init)
		s->init_result = wait;
	else
		gen_started(&s->gen, wait);
}

/* Why the plan is no good, or NULL. */
static const char *plan_refuse(const struct supervisor_plan *plan)
{
	char why[CHILD_REASON_MAX * 2];

	if ((unsigned)plan->strategy > SIMPLE_ONE_FOR_ONE)
		return "no such strategy";
	if (plan->max_restarts > INTENSITY_MAX)
		return "restarts without an end";
	if (plan->strategy == SIMPLE_ONE_FOR_ONE && plan->n_children != 1)
		return "not exactly one specification";
	if (!child_specs_check(plan->children, plan->n_children, why))
		return NULL;
	log_error("supervisor", "a specification is no good", L_STR("why", why));
	return "bad child specification";
}

/* Fills in the plan. NEXT_WAIT when it is to be carried out. */
static struct next plan_init(struct supervisor_plan *plan, void *arg)
{
	const char *why;
	int err;

	*plan = *(const struct supervisor_plan *)arg;
	err = plan->init ? plan->init(plan, plan->arg) : 0;
	if (err == SUPERVISOR_IGNORE)
		return (struct next){ .kind = NEXT_IGNORE };
	if (err)
		return (struct next){ .kind = NEXT_STOP, .reason = "init failed" };
	why = plan_refuse(plan);
	if (why)
		return (struct next){ .kind = NEXT_STOP, .reason = why };
	return (struct next){ .kind = NEXT_WAIT };
}

static struct next init(struct gen *g, void *arg)
{
	struct supervisor *s = supervisor_of(g);
	struct next n;

	shard_check(NULL);
	CDS_INIT_LIST_HEAD(&s->children);
	CDS_INIT_LIST_HEAD(&s->exits);
	CDS_INIT_LIST_HEAD(&s->requests);
	n = plan_init(&s->plan, arg);
	if (n.kind != NEXT_WAIT)
		return n;
	intensity_init(&s->intensity, s->plan.max_restarts, s->plan.within_s * UINT64_C(1000));
	if (s->plan.strategy != SIMPLE_ONE_FOR_ONE)
		for (unsigned i = 0; i < s->plan.n_children; i++)
			supervisor_add(s, &s->plan.children[i]);
	s->init_result.kind = NEXT_LATER;
	s->in_init = true;
	move_start(s, first_child(s), last_child(s), START_ALL, children_started);
	supervisor_run(s);
	s->in_init = false;
	return s->init_result;
}

/* --- as core/gen.c calls it --- */

static struct next handle(struct gen *g, enum mail_kind kind, struct term *t, struct caller from)
{
	struct supervisor *s = supervisor_of(g);

	shard_check(NULL);
	if (kind == MAIL_CALL)
		request_take(s, t, from);
	else
		log_debug("supervisor", "dropped what it did not expect", L_INT("kind", t->kind));
	supervisor_run(s);
	return (struct next){ .kind = NEXT_WAIT };
}

static void hibernate(struct gen *g UNUSED)
{
}

static void terminate(struct gen *g UNUSED, const char *reason UNUSED)
{
}

/* Without children when it ends by itself; with them when it is killed. */
static bool drop(struct gen *g)
{
	struct supervisor *s = supervisor_of(g);
	struct child *c, *next_child;
	struct request *r, *next_request;

	shard_check(NULL);
	if (!s->children.next)
		return false; /* its name was taken: init has not been called */
	cds_list_for_each_entry_safe (r, next_request, &s->requests, node)
		request_free(r);
	request_free(s->asked);
	cds_list_for_each_entry_safe (c, next_child, &s->children, node) {
		child_cut(c);
		child_free(c);
	}
	intensity_fini(&s->intensity);
	return false;
}

static int code_change(
	struct gen *g UNUSED, const struct gen_class *now, unsigned old_version, void *extra UNUSED)
{
	return old_version == now->version ? 0 : -ENOTSUP;
}

static bool has_state(const struct gen *g UNUSED, unsigned state UNUSED)
{
	return false;
}

static const char *state_name(const struct gen *g UNUSED)
{
	return "";
}

static const struct behaviour supervisor_behaviour = {
	.init = init,
	.handle = handle,
	.hibernate = hibernate,
	.stops_later = stops_later,
	.terminate = terminate,
	.drop = drop,
	.code_change = code_change,
	.has_state = has_state,
	.state_name = state_name,
};

const struct gen_class supervisor_class = {
	.actor = { .name = "supervisor", .behaviour = &supervisor_behaviour },
	.version = 1,
	.bytes = sizeof(struct supervisor),
};
