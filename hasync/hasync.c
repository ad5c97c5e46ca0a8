/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* hasync -- makes two gateways a pair: one store, one active node. Ties store, pair,
 * cpg, node and control together; each of them only knows what it is told. */
#include "common/err.h"
#include "common/log.h"
#include "common/pairkey.h"
#include "hasync/conf.h"
#include "hasync/control.h"
#include "hasync/cpg.h"
#include "hasync/node.h"
#include "hasync/paths.h"

#include <getopt.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	EXIT_OK,
	EXIT_USAGE = 64,
	EXIT_SOFTWARE = 70,
	EXIT_OSERR = 71,
	EXIT_CONFIG = 78
};
enum { TICK_MS = ROLE_TICK_MS, LAST_MS = 300 };

struct hasync {
	uv_loop_t loop;
	struct conf conf;
	struct store *store;
	struct pair *pair;
	struct cpg *cpg;
	struct paths *paths; /* NULL: no pair */
	struct node *node;
	struct control *control;
	uv_timer_t tick;
	uv_signal_t term, intr;
	bool is_ending, has_peer;
};

static uint64_t
wall_ms(void *arg)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static uint64_t
now_ms(void *arg)
{
	return uv_hrtime() / 1000000;
}

/* ---- telling ---- */

static void
json_text(struct wr *w, const char *s)
{
	wr_u8(w, '"');
	for (; *s != '\0'; s++) {
		uint8_t c = (uint8_t)*s;
		if (c == '"' || c == '\\')
			wr_u8(w, '\\');
		wr_u8(w, c < 0x20 || c > 0x7e ? '?' : c);
	}
	wr_u8(w, '"');
}

static bool
is_serious(const char *event)
{
	static const char *const list[] = { "peer_refused", "clock_difference",
					    "store_io", "store_damaged",
					    "store_conflict" };

	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		if (strcmp(event, list[i]) == 0)
			return true;
	return false;
}

static void
on_client_event(void *arg, const char *kind, const char *event, const char *text)
{
	struct hasync *h = arg;

	if (h->control != NULL)
		control_event(h->control, kind, event, text);
}

static void
tell_event(void *arg, const char *event, const char *detail)
{
	log_line(is_serious(event) ? LOG_L_ERR : LOG_L_INFO, 0, "%s%s%s", event,
		 *detail ? " " : "", detail);
	on_client_event(arg, "hasync", event, detail);
}

static void
on_store_event(void *arg, const char *event, const char *object, const char *file)
{
	char detail[256];

	snprintf(detail, sizeof(detail), "%s: %s", object, file);
	tell_event(arg, event, detail);
}

static void
get_state(void *arg, struct wire_state *s)
{
	struct hasync *h = arg;
	struct object *config = store_find(h->store, SPAN("config"));

	*s = (struct wire_state){ .version = span_str(TANDEM_VERSION),
				  .is_primary = h->conf.pair.is_primary };
	if (config != NULL) {
		s->config_generation = config->generation;
		memcpy(s->config_sha, config->sha, sizeof(s->config_sha));
	}
	if (h->node != NULL)
		node_get_state(h->node, s);
}

static void
write_state(struct wr *w, const char *node, const struct wire_state *s)
{
	wr_fmt(w, "{\"node\":");
	json_text(w, node);
	wr_fmt(w,
	       ",\"configured\":\"%s\",\"role\":\"%s\",\"epoch\":%" PRIu64
	       ",\"version\":\"%.*s\",\"vpnd\":\"%s\",\"hold\":%s,\"gateways_ok\":%u,"
	       "\"gateways\":%u,\"config_generation\":%" PRIu64 ",\"config_hash\":\"",
	       s->is_primary ? "primary" : "spare", s->is_active ? "active" : "standby",
	       s->epoch, (int)s->version.n, (const char *)s->version.p,
	       s->vpnd_bad ? "bad" : "ok", s->hold ? "true" : "false", s->gateways_ok,
	       s->gateways, s->config_generation);
	for (size_t i = 0; i < sizeof(s->config_sha); i++)
		wr_fmt(w, "%02x", s->config_sha[i]);
	wr_fmt(w, "\",\"changed_s\":%" PRIu64 ",\"why\":\"%.*s\",\"links\":[",
	       s->changed_s, (int)s->why.n, (const char *)s->why.p);
	for (size_t i = 0; i < s->n_wans; i++)
		wr_fmt(w, "%s{\"name\":\"%.*s\",\"carrier\":%s,\"gateway\":%s}",
		       i > 0 ? "," : "", (int)s->wans[i].name.n,
		       (const char *)s->wans[i].name.p,
		       s->wans[i].has_carrier ? "true" : "false",
		       s->wans[i].gateway_ok ? "true" : "false");
	wr_fmt(w, "]}");
}

/* The object node/NODE; watchers hear of it when the text differs. */
static void
show_state(struct hasync *h, const char *node, const struct wire_state *s)
{
	uint8_t buf[2048];
	char name[CLUSTER_NAME_MAX + 1];
	struct wr w = wr_open(buf, sizeof(buf));
	struct object *o;

	snprintf(name, sizeof(name), "node/%s", node);
	if (store_make(h->store, span_str(name), &o) < 0)
		return;
	if (s == NULL) {
		o->flags |= CLUSTERFILE_REMOVED;
	} else {
		write_state(&w, node, s);
		bool is_same = o->generation > 0 && !(o->flags & CLUSTERFILE_REMOVED) &&
			       span_eq(wr_span(&w), span_of(o->bytes, o->n));
		if (is_same || wr_full(&w) ||
		    store_set_bytes(h->store, o, wr_span(&w)) < 0)
			return;
		o->flags = 0;
	}
	o->generation++;
	o->wall_ms = wall_ms(NULL);
	snprintf(o->writer, sizeof(o->writer), "%s", node);
	if (h->control != NULL)
		control_changed(h->control, o, (struct span){ 0 });
}

static void
show_own_state(struct hasync *h)
{
	struct wire_state s;

	get_state(h, &s);
	show_state(h, h->conf.pair.node, &s);
}

/* ---- node ---- */

static void
on_role(void *arg)
{
	struct hasync *h = arg;

	if (h->pair == NULL || h->control == NULL)
		return;
	/* The peer first: it may be waiting to take over. */
	pair_state_changed(h->pair);
	show_own_state(h);
	control_role(h->control);
}

static const struct node_handlers node_handlers = { .on_role = on_role,
						    .on_event = tell_event };

/* ---- pair ---- */

static int
on_send(void *arg, struct span batch)
{
	struct hasync *h = arg;

	return h->cpg == NULL ? E_CLOSED : cpg_send(h->cpg, batch);
}

static void
on_changed(void *arg, const struct object *o, struct span delta)
{
	struct hasync *h = arg;

	control_changed(h->control, o, delta);
	if (strcmp(o->name, "config") == 0)
		show_own_state(h);
}

static void
on_result(void *arg, uint64_t ticket, const struct pair_result *r)
{
	struct hasync *h = arg;

	control_result(h->control, ticket, r);
}

static void
on_peer_state(void *arg, const char *node, const struct wire_state *s)
{
	struct hasync *h = arg;
	bool is_news = h->has_peer != (s != NULL);

	h->has_peer = s != NULL;
	if (is_news && s != NULL)
		tell_event(h, "peer_seen", node);
	node_set_peer(h->node, s);
	show_state(h, node, s);
	if (is_news)
		control_role(h->control);
}

static void
on_hold(void *arg, uint64_t ms, bool on, bool force)
{
	struct hasync *h = arg;

	if (node_hold(h->node, on, force, ms) < 0)
		tell_event(h, "hold_refused", "the peer could not take over");
}

static const struct pair_handlers pair_handlers = {
	.send = on_send,
	.now_ms = now_ms,
	.wall_ms = wall_ms,
	.on_changed = on_changed,
	.on_result = on_result,
	.on_state = on_peer_state,
	.on_hold = on_hold,
	.on_event = tell_event,
	.get_state = get_state,
};

/* ---- store ---- */

static void
on_durable(void *arg, uint64_t ticket, int rc)
{
	struct hasync *h = arg;

	pair_durable(h->pair, ticket, rc);
}

static const struct store_handlers store_handlers = { .on_durable = on_durable,
						      .on_event = on_store_event };

/* ---- corosync ---- */

static void
on_members(void *arg, const struct pair_member *all, size_t n,
	   const struct pair_member *joined, size_t n_joined)
{
	struct hasync *h = arg;

	log_info(0, "members=%zu joined=%zu", n, n_joined);
	pair_members(h->pair, all, n, joined, n_joined);
}

static void
on_message(void *arg, uint32_t nodeid, uint32_t pid, struct span m)
{
	struct hasync *h = arg;

	pair_deliver(h->pair, nodeid, pid, m);
}

static void
on_lost(void *arg)
{
	struct hasync *h = arg;

	pair_lost(h->pair);
}

static void
on_retry(void *arg)
{
	struct hasync *h = arg;

	pair_retry(h->pair);
}

static const struct cpg_handlers cpg_handlers = { on_members, on_message, on_lost,
						  on_retry };

/* ---- control ---- */

static void
write_paths(const struct hasync *h, struct wr *w)
{
	const struct path *p = NULL;
	bool is_old = true;
	size_t n = h->paths != NULL ? paths_get(h->paths, &p, &is_old) : 0;

	wr_fmt(w, ",\"paths\":[");
	for (size_t i = 0; i < n; i++)
		wr_fmt(w, "%s{\"name\":\"%s\",\"address\":\"%s\",\"state\":\"%s\"}",
		       i > 0 ? "," : "", p[i].name, p[i].address,
		       is_old       ? "unknown"
		       : p[i].is_up ? "up"
				    : "down");
	wr_fmt(w, "]");
}

static void
get_info(void *arg, struct wr *w)
{
	struct hasync *h = arg;
	struct wire_state s;

	get_state(h, &s);
	wr_fmt(w, "{\"self\":");
	write_state(w, h->conf.pair.node, &s);
	wr_fmt(w, ",\"peer_name\":");
	json_text(w, h->conf.pair.peer);
	write_paths(h, w);
	wr_fmt(w,
	       ",\"clustered\":%s,\"joined\":%s,\"synced\":%s,\"peers\":%u,\"refused\":"
	       "%" PRIu64 ",\"peer\":",
	       h->conf.pair.is_clustered ? "true" : "false",
	       pair_is_joined(h->pair) ? "true" : "false",
	       pair_is_synced(h->pair) ? "true" : "false", pair_peers(h->pair),
	       pair_refused(h->pair));
	char name[CLUSTER_NAME_MAX + 1];
	snprintf(name, sizeof(name), "node/%s", h->conf.pair.peer);
	struct object *o = h->has_peer ? store_find(h->store, span_str(name)) : NULL;
	if (o == NULL || o->n == 0)
		wr_fmt(w, "null");
	else
		wr_bytes(w, o->bytes, o->n);
	wr_u8(w, '}');
}

static void
get_role(void *arg, uint8_t *flags, uint64_t *epoch)
{
	struct hasync *h = arg;
	const struct role *r = node_role(h->node);

	*flags =
		(uint8_t)((r->out.is_active ? CLUSTER_ACTIVE : 0) |
			  (h->conf.pair.is_clustered && !h->has_peer ? CLUSTER_PEER_AWAY
								     : 0));
	*epoch = r->out.epoch;
}

static enum cluster_status
hold(void *arg, struct span node, uint64_t ms, uint8_t flags)
{
	struct hasync *h = arg;
	bool on = flags & CLUSTER_ON, force = flags & CLUSTER_FORCE;
	int rc;

	if (node.n == 0 || span_is(node, h->conf.pair.node))
		rc = node_hold(h->node, on, force, ms);
	else if (h->conf.pair.is_clustered && span_is(node, h->conf.pair.peer))
		rc = pair_ask_hold(h->pair, node, ms, on, force);
	else
		return CLUSTER_NOENT;
	return rc < 0 ? CLUSTER_LATER : CLUSTER_OK;
}

static void
on_vpnd(void *arg, bool is_there, bool is_sick)
{
	struct hasync *h = arg;

	if (!h->is_ending)
		node_set_vpnd(h->node, is_there, is_sick);
}

static const struct control_handlers control_handlers = { get_info, get_role, hold,
							  on_vpnd, on_client_event };

/* ---- life ---- */

static void
on_tick(uv_timer_t *t)
{
	struct hasync *h = t->data;

	node_tick(h->node);
	pair_tick(h->pair);
	if (h->paths != NULL)
		paths_tick(h->paths);
}

static void
on_signal(uv_signal_t *s, int signum)
{
	struct hasync *h = s->data;

	h->is_ending = true;
	uv_stop(&h->loop);
}

static int
start(struct hasync *h, const char *state, const char *run)
{
	char path[CONF_PATH];
	int rc;

	uv_timer_init(&h->loop, &h->tick);
	uv_signal_init(&h->loop, &h->term);
	uv_signal_init(&h->loop, &h->intr);
	h->tick.data = h->term.data = h->intr.data = h;
	if (mkdir(run, 0755) < 0 && errno != EEXIST)
		return -errno;
	snprintf(path, sizeof(path), "%s/cluster", state);
	if ((rc = store_open(&h->store, &h->loop, path, wall_ms(NULL) / 1000,
			     &store_handlers, h)) < 0 ||
	    (rc = node_open(&h->node, &h->loop, &h->conf, &node_handlers, h)) < 0 ||
	    (rc = pair_new(&h->pair, &h->conf.pair, h->store, &pair_handlers, h)) < 0)
		return rc;
	snprintf(path, sizeof(path), "%s/" CLUSTER_SOCKET, run);
	rc = control_open(&h->control, &h->loop, path, h->conf.users, h->conf.n_users,
			  &h->conf.pair, h->store, &control_handlers, h);
	if (rc < 0)
		return rc;
	control_set_pair(h->control, h->pair);
	if (h->conf.pair.is_clustered &&
	    ((rc = cpg_open(&h->cpg, &h->loop, &cpg_handlers, h)) < 0 ||
	     (rc = paths_open(&h->paths, &h->loop)) < 0))
		return rc;
	uv_timer_start(&h->tick, on_tick, 0, TICK_MS);
	uv_signal_start(&h->term, on_signal, SIGTERM);
	uv_signal_start(&h->intr, on_signal, SIGINT);
	return 0;
}

static void
on_late(uv_timer_t *t)
{
	uv_stop(t->loop);
}

static void
end(struct hasync *h)
{
	h->is_ending = true;
	uv_close((uv_handle_t *)&h->term, NULL);
	uv_close((uv_handle_t *)&h->intr, NULL);
	control_close(h->control);
	cpg_close(h->cpg);
	node_close(h->node);
	/* Everything closes at once, but a thread may wait for a corosync that stands
	 * still; exit does not. */
	uv_timer_start(&h->tick, on_late, LAST_MS, 0);
	uv_unref((uv_handle_t *)&h->tick);
	bool is_stuck =
		uv_run(&h->loop, UV_RUN_DEFAULT) != 0 && uv_loop_alive(&h->loop);
	if (is_stuck)
		return;
	uv_close((uv_handle_t *)&h->tick, NULL);
	store_free(h->store);
	pair_free(h->pair);
	uv_run(&h->loop, UV_RUN_DEFAULT);
	control_free(h->control);
	cpg_free(h->cpg);
	paths_free(h->paths);
	node_free(h->node);
	uv_loop_close(&h->loop);
}

static void
usage(FILE *to)
{
	fputs("usage: hasync [-f FILE] [-s STATEDIR] [-r RUNDIR] [-d] [-t] [-V] [-h]\n",
	      to);
}

/* Alone, too, secrets in the store are sealed: the key is made at the first start, and
 * is the pair's when there is a pair. */
static void
make_key(const struct conf *c)
{
	uint8_t key[PAIRKEY];
	int rc;

	if (c->pair.is_clustered || access(c->key_file, F_OK) == 0)
		return;
	if ((rc = pairkey_make(key)) < 0 || (rc = pairkey_save(c->key_file, key)) < 0)
		log_warn(0, "%s: cannot make the key for secrets: %s", c->key_file,
			 err_text(rc));
	else
		log_info(0, "%s: made, seals the secrets in the store", c->key_file);
	OPENSSL_cleanse(key, sizeof(key));
}

int
main(int argc, char **argv)
{
	const char *file = "/etc/tandem/hasync.conf", *state = "/var/lib/tandem",
		   *run = "/run/tandem";
	enum log_level level = LOG_L_INFO;
	bool only_check = false;
	char why[512];
	int o;

	while ((o = getopt(argc, argv, "f:s:r:dtVh")) != -1)
		switch (o) {
		case 'f': file = optarg; break;
		case 's': state = optarg; break;
		case 'r': run = optarg; break;
		case 'd': level = LOG_L_DEBUG; break;
		case 't': only_check = true; break;
		case 'V': puts("hasync " TANDEM_VERSION); return EXIT_OK;
		case 'h': usage(stdout); return EXIT_OK;
		default: usage(stderr); return EXIT_USAGE;
		}
	if (optind < argc) {
		usage(stderr);
		return EXIT_USAGE;
	}
	log_open("hasync", "", level);
	signal(SIGPIPE, SIG_IGN);
	struct hasync *h = calloc(1, sizeof(*h));
	if (h == NULL)
		return EXIT_OSERR;
	if (conf_load(&h->conf, file, why, sizeof(why)) < 0) {
		log_err(0, "config: %s", why);
		free(h);
		return EXIT_CONFIG;
	}
	if (only_check) {
		free(h);
		return EXIT_OK;
	}
	make_key(&h->conf);
	uv_loop_init(&h->loop);
	int rc = start(h, state, run);
	if (rc < 0) {
		log_err(0, "cannot start: %s",
			rc == -EWOULDBLOCK ? "another hasync uses this state folder"
					   : err_text(rc));
		return EXIT_OSERR;
	}
	log_info(0, "started node=%s peer=%s role=%s", h->conf.pair.node,
		 h->conf.pair.peer[0] ? h->conf.pair.peer : "-",
		 h->conf.pair.is_primary ? "primary" : "spare");
	uv_run(&h->loop, UV_RUN_DEFAULT);
	end(h);
	log_info(0, "ended");
	free(h);
	return EXIT_OK;
}
