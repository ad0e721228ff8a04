/* modules/catalogue.c - finds modules by name and loads those that are not built in. */
#include "modules/catalogue.h"

#include <ctype.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

/* X(name) for each file of modules/ that ends with LINNET_MODULE(), listed by the build. */
#define X(n) extern const struct module module_##n;
#include LINNET_MODULES
#undef X
#define X(n) &module_##n,
static const struct module *const built_in[] = {
#include LINNET_MODULES
};
#undef X

/* ejabberd's; one that comes is found before it is looked for here. */
static const struct conf_hint hints[] = {
	{ "admin_extra|muc_admin|http_api|adhoc_api|admin_update_sql",
		"linnetctl has its commands without a module" },
	{ "auth_fast",
		"tokens are given without a module: token_lifetime and token_refresh_age, at the "
		"top" },
	{ "scram_upgrade", "this is the option offered_upgrades, at the top" },
	{ "fail2ban", "auth_fail_limit and auth_fail_window do this" },
	{ "legacy_auth", "this is the option legacy_auth, at the top" },
	{ "metrics", "linnetctl metrics prints them" },
	{ "jidprep|sic|service_log", "this server does not have it; take it out" },
	{ "avatar|block_strangers|bosh|client_state|"
	  "conversejs|stream_mgmt|"
	  "host_meta|http_fileserver|http_upload*|invites*|matrix_gw|mix*|mqtt*|muc|muc_log|"
	  "muc_*|multicast|pres_counter|proxy65|pubsub*|push_keepalive|"
	  "register_web|s2s_*|shared_roster_ldap|sip|stun_disco|vcard_ldap|"
	  "antispam*|providers",
		"this one of ejabberd's is not here yet" },
	{ NULL, NULL },
};

struct plugin {
	struct plugin *next;
	const struct module *module;
};
static struct plugin *plugins;
static char **folders;
static size_t n_folders;

static const struct module *known(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(built_in); i++)
		if (strcmp(built_in[i]->name, name) == 0)
			return built_in[i];
	for (struct plugin *p = plugins; p; p = p->next)
		if (strcmp(p->module->name, name) == 0)
			return p->module;
	return NULL;
}

static bool name_may_be_file(const char *name)
{
	for (const char *c = name; *c; c++)
		if (!islower((unsigned char)*c) && !isdigit((unsigned char)*c) && *c != '_' &&
			*c != '-')
			return false;
	return *name != '\0';
}

static const struct module *plugin_open(
	const char *path, const char *name, const struct conf_node *at, struct conf_errors *e)
{
	void *code = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	const struct module *const *symbol;
	const struct module *m;
	struct plugin *p;

	if (!code) {
		conf_fail_key(e, at, "the module cannot be loaded: %s", dlerror());
		return NULL;
	}
	symbol = dlsym(code, LINNET_MODULE_SYMBOL);
	if (!symbol || !*symbol) {
		conf_fail_key(e, at, "%s is not a module: it has no symbol %s", path,
			LINNET_MODULE_SYMBOL);
		goto close;
	}
	m = *symbol;
	if (m->abi != LINNET_MODULE_ABI) {
		conf_fail_key(e, at,
			"%s was built for module interface %u, this server has %u: build it anew",
			path, m->abi, LINNET_MODULE_ABI);
		goto close;
	}
	if (!m->name || strcmp(m->name, name) != 0) {
		conf_fail_key(e, at, "%s holds a module %s%s", path,
			m->name ? "named " : "without a name", m->name ? m->name : "");
		goto close;
	}
	p = xmalloc(sizeof(*p));
	*p = (struct plugin){ .next = plugins, .module = m };
	plugins = p;
	log_info("modules", "loaded", L_STR("module", name), L_STR("file", path));
	return m;
close:
	dlclose(code);
	return NULL;
}

const char *module_plain_name(const char *name)
{
	return strncmp(name, "mod_", 4) == 0 ? name + 4 : name;
}

void catalogue_set_folders(const struct conf_list *list)
{
	const char *const *names = list->at;

	for (size_t i = 0; i < n_folders; i++)
		free(folders[i]);
	free(folders);
	n_folders = list->n;
	folders = xcalloc(n_folders + 1, sizeof(*folders));
	for (size_t i = 0; i < n_folders; i++)
		folders[i] = xstrdup(names[i]);
}

const struct module *catalogue_find(const struct conf_node *at, struct conf_errors *e)
{
	const char *name = module_plain_name(conf_node_key(at));
	const struct module *m = known(name);
	struct conf_guess guess = { .given = name };
	const char *hint;

	if (m)
		return m;
	for (size_t i = 0; i < n_folders && name_may_be_file(name); i++) {
		AUTO(free_ptr) char *path = xprintf("%s/%s.so", folders[i], name);

		if (access(path, F_OK) == 0)
			return plugin_open(path, name, at, e);
	}
	hint = conf_hint(hints, name);
	if (hint) {
		conf_fail_key(e, at, "there is no module \"%s\": %s", name, hint);
		return NULL;
	}
	for (size_t i = 0; i < ARRAY_LEN(built_in); i++)
		conf_guess(&guess, built_in[i]->name);
	for (struct plugin *p = plugins; p; p = p->next)
		conf_guess(&guess, p->module->name);
	conf_fail_key_guess(e, at, &guess, "there is no module \"%s\"", name);
	return NULL;
}

void catalogue_each(void (*fn)(const struct module *m, void *arg), void *arg)
{
	for (size_t i = 0; i < ARRAY_LEN(built_in); i++)
		fn(built_in[i], arg);
	for (struct plugin *p = plugins; p; p = p->next)
		fn(p->module, arg);
}
