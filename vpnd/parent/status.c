/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/parent/state.h"

#include <jansson.h>
#include <string.h>
#include <unistd.h>

static json_t *
processes(const struct parent *p)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < p->n_process; i++) {
		const struct process *c = &p->process[i];
		json_array_append_new(list, json_pack("{s:s, s:i, s:i, s:i}", "name",
						      ipc_process_name[c->who], "index",
						      (int)c->index, "pid", (int)c->pid,
						      "restarts", (int)c->restarts));
	}
	return list;
}

/* Workers share a listener's description: one row for all of them. */
static json_t *
listeners(const struct parent *p)
{
	json_t *list = json_array();

	for (size_t i = 0; i < p->sockets.n; i++) {
		const struct listener *l = &p->sockets.listener[i];
		if (l->worker != 0)
			continue;
		json_array_append_new(list,
				      json_pack("{s:s, s:s, s:i, s:i}", "wan",
						parent_config(p)->wan[l->wan].name,
						"interface", l->ifname, "family",
						(int)l->family, "port", (int)l->port));
	}
	return list;
}

static json_t *
tuns(const struct parent *p)
{
	json_t *list = json_array();

	for (unsigned w = 0; w < p->workers; w++)
		json_array_append_new(list, json_pack("{s:s, s:i}", "name",
						      p->tun[w].name, "mtu", TUN_MTU));
	return list;
}

void
status_write(struct parent *p, struct ipc_status_text *m)
{
	static const char *const source[] = { "file", "stored", "self-signed" };
	json_t *o =
		json_pack("{s:s, s:i, s:I, s:i, s:b, s:i, s:o, s:o, s:o, s:{s:s, s:s, "
			  "s:s, s:i}, s:s}",
			  "version", TANDEM_VERSION, "pid", (int)getpid(), "uptime_s",
			  (json_int_t)((now_ms() - p->started_ms) / 1000), "workers",
			  (int)p->workers, "enabled", parent_config(p)->enabled,
			  "config_generation", (int)p->generation, "processes",
			  processes(p), "listeners", listeners(p), "tun", tuns(p),
			  "certificate", "source", source[p->cert.source], "not_after",
			  p->cert.not_after, "key", p->cert.is_rsa ? "RSA" : "ECDSA",
			  "generation", (int)p->cert.generation, "offload", p->tun[0].offload);
	size_t n = o != NULL ? json_dumpb(o, (char *)m->json.p, sizeof(m->json.p),
					  JSON_COMPACT)
			     : 0;

	m->json.n = n <= sizeof(m->json.p) ? (uint32_t)n : 0;
	json_decref(o);
}
