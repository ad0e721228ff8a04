/* modules/running_domains.c - the domains that modules serve: asked for while they start, theirs
 * from the commit on. */
#include <errno.h>
#include <stdlib.h>

#include "modules/running.h"

/* template with the host's name for each @HOST@. The caller frees. */
static char *with_host(const char *template, const char *host)
{
	char *text = xstrdup(template), *at;

	while ((at = strstr(text, "@HOST@"))) {
		char *longer = xprintf("%.*s%s%s", (int)(at - text), text, host, at + 6);

		free(text);
		text = longer;
	}
	return text;
}

static void service_free(struct service *v)
{
	if (!v)
		return;
	free(v->domain);
	free(v->title);
	free(v);
}

static struct service *service_find(struct running *r, const char *domain)
{
	struct service *v = rcu_get(r->services);

	while (v && strcmp(v->domain, domain) != 0)
		v = rcu_get(v->next);
	return v;
}

/* The service of a leaving module that holds the domain; NULL: none. */
static struct service *service_leaving(struct host *h, bool h_goes, const char *domain)
{
	for (struct running *r = running_first(h); r; r = running_next(r)) {
		struct service *v = h_goes || r->leaving ? service_find(r, domain) : NULL;

		if (v && v->routed)
			return v;
	}
	return NULL;
}

static struct service *service_to_take(const struct registry_change *c, const char *domain)
{
	struct service *v = NULL;

	for (size_t i = 0; i < c->n_hosts && !v; i++)
		v = service_leaving(c->hosts[i].host, false, domain);
	for (size_t i = 0; i < c->n_gone && !v; i++)
		v = service_leaving(c->gone[i], true, domain);
	return v;
}

static bool host_goes(const struct registry_change *c, const char *name)
{
	for (size_t i = 0; i < c->n_gone; i++)
		if (!strcmp(c->gone[i]->name, name))
			return true;
	return false;
}

bool running_comes_free(const struct registry_change *c, const char *domain)
{
	return !route_has(domain) || host_goes(c, domain) || service_to_take(c, domain);
}

int module_serve(struct module_instance *mi, const char *domain, const char *title, service_fn *fn,
	void *arg)
{
	struct running *r = container_of(mi, struct running, mi);
	struct registry_change *c = r->starting_in;
	AUTO(free_ptr) char *text = with_host(domain, mi->host->name);
	char prepared[JID_PART_MAX + 1];
	struct service *v;

	REQUIRE(c);
	if (jid_prep_domain(text, strlen(text), prepared) < 0) {
		log_error("modules", "not a domain", L_STR("module", mi->module->name),
			L_STR("domain", text));
		return -EINVAL;
	}
	if (!running_comes_free(c, prepared) || !domain_set_add(&c->afterwards, prepared)) {
		log_error("modules", "the domain is taken", L_STR("module", mi->module->name),
			L_STR("domain", prepared));
		return -EADDRINUSE;
	}
	v = xcalloc(1, sizeof(*v));
	v->domain = xstrdup(prepared);
	v->title = title ? xstrdup(title) : NULL;
	v->fn = fn;
	v->arg = arg;
	rcu_set(v->next, rcu_get(r->services));
	rcu_set(r->services, v);
	return 0;
}

void running_take_domains(struct running *r, const struct registry_change *c)
{
	for (struct service *v = rcu_get(r->services); v; v = rcu_get(v->next)) {
		struct service *was = route_has(v->domain) ? service_to_take(c, v->domain) : NULL;

		if (was) {
			was->routed = false;
			REQUIRE(route_replace_service(v->domain, v->fn, v->arg));
		} else {
			REQUIRE(route_register_service(v->domain, v->fn, v->arg) == 0);
		}
		v->routed = true;
	}
}

void running_drop_domains(struct running *r)
{
	struct service *v = rcu_swap(r->services, NULL), *next;

	if (v)
		rcu_wait(); /* those who list them, where no route is withdrawn */
	for (; v; v = next) {
		next = rcu_get(v->next);
		if (v->routed)
			route_unregister(v->domain); /* waits for a grace period */
		service_free(v);
	}
}
