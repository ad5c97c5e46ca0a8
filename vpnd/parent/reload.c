/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* A reload builds the new world, with everything in it that can fail: read and
 * check, open sockets, load the certificate. Then it swaps, or throws the new
 * world away and says why. */
#include "common/err.h"
#include "common/file.h"
#include "common/log.h"
#include "vpnd/parent/firewall.h"
#include "vpnd/parent/state.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WAIT_MS = 5000 };

static void begin(struct parent *p);

static void
drop_config(struct reload *r)
{
	if (r->config_fd >= 0)
		close(r->config_fd);
	r->config_fd = -1;
}

static void
put_done(struct parent *p, uint32_t id, bool is_bad, const char *text)
{
	struct process *session = process_of(p, IPC_SESSION, 0);
	struct ipc_config_put_done *m = calloc(1, sizeof(*m));
	size_t n = strlen(text);

	if (m != NULL && session->peer != NULL) {
		m->id = id;
		m->is_bad = is_bad;
		m->text.n = (uint32_t)(n < sizeof(m->text.p) ? n : sizeof(m->text.p));
		memcpy(m->text.p, text, m->text.n);
		(void)peer_send(session->peer, IPC_config_put_done, m);
	}
	free(m);
}

/* Back to idle; tell who asked; go again if somebody asked meanwhile. */
static void
finish(struct parent *p, bool is_bad, const char *text)
{
	struct reload *r = &p->reload;
	struct process *session = process_of(p, IPC_SESSION, 0);
	struct ipc_reload_done *m = calloc(1, sizeof(*m));
	size_t n = strlen(text);

	uv_timer_stop(&r->deadline);
	sockets_close(&r->sockets);
	setup_free(r->setup);
	r->setup = NULL;
	drop_config(r);
	if (r->has_cert)
		certificate_close(&r->cert);
	r->has_cert = false;
	r->step = RELOAD_IDLE;
	if (m != NULL && r->has_id && session->peer != NULL) {
		m->id = r->id;
		m->is_bad = is_bad;
		m->text.n = (uint32_t)(n < sizeof(m->text.p) ? n : sizeof(m->text.p));
		memcpy(m->text.p, text, m->text.n);
		(void)peer_send(session->peer, IPC_reload_done, m);
	}
	free(m);
	r->has_id = false;
	if (r->put_id != 0)
		put_done(p, r->put_id, is_bad, text);
	r->put_id = 0;
	reload_resume(p);
}

static bool
is_busy(const struct parent *p)
{
	return p->reload.step != RELOAD_IDLE || p->certswap.is_loading;
}

void
reload_resume(struct parent *p)
{
	struct reload *r = &p->reload;

	if (is_busy(p))
		return;
	if (!r->is_again) {
		certswap_resume(p);
		return;
	}
	r->is_again = false;
	r->put_id = r->next_put_id;
	r->next_put_id = 0;
	r->has_id = r->next_has_id;
	r->id = r->next_id;
	begin(p);
}

static void
refuse(struct parent *p, const char *text)
{
	log_err(0, "configuration refused, the old one stays: %.*s",
		(int)strcspn(text, "\n"), text);
	event_send(p, EV_CONFIG_REFUSED, "", text, 0);
	finish(p, true, text);
}

/* What children and sockets were sized by cannot change under them. */
static bool
needs_restart(const struct parent *p, const struct config *n, char *text, size_t cap)
{
	const struct config *o = parent_config(p);
	const char *what = NULL;

	if (n->workers != o->workers)
		what = "server.workers";
	else if (memcmp(&n->pool4.addr, &o->pool4.addr, sizeof(n->pool4.addr)) != 0 ||
		 n->pool4.len != o->pool4.len)
		what = "addressing.subnet";
	else if (memcmp(&n->pool6.addr, &o->pool6.addr, sizeof(n->pool6.addr)) != 0 ||
		 n->pool6.len != o->pool6.len)
		what = "addressing.ipv6_prefix";
	else if (n->session_limit > p->slots)
		what = "server.session_limit";
	if (what == NULL)
		return false;
	if (n->session_limit > p->slots && strcmp(what, "server.session_limit") == 0)
		snprintf(text, cap,
			 "%s: more than %u sessions need a restart of vpnd; nothing "
			 "was changed",
			 what, p->slots);
	else
		snprintf(text, cap,
			 "%s: a change needs a restart of vpnd; nothing was changed",
			 what);
	return true;
}

static void
swap_listeners(struct parent *p, const struct sockets *new)
{
	for (size_t i = 0; i < p->sockets.n; i++) {
		const struct listener *l = &p->sockets.listener[i];
		struct process *c = process_of(p, IPC_WORKER, l->worker);
		struct ipc_unlisten m = { .handle = l->handle };
		if (sockets_find(new, l->handle) == NULL && c->is_equipped &&
		    c->peer != NULL)
			(void)peer_send(c->peer, IPC_unlisten, &m);
	}
	for (size_t i = 0; i < new->n; i++) {
		const struct listener *l = &new->listener[i];
		struct process *c = process_of(p, IPC_WORKER, l->worker);
		if (sockets_find(&p->sockets, l->handle) == NULL && c->is_equipped)
			handout_listener(c, l);
	}
}

static bool
all_have_it(const struct parent *p)
{
	for (unsigned i = 0; i < p->n_process; i++)
		if (p->process[i].config_done != p->generation)
			return false;
	return true;
}

static void
done(struct parent *p)
{
	log_info(0, "configuration loaded generation=%u listeners=%zu", p->generation,
		 p->sockets.n);
	event_send(p, EV_CONFIG_LOADED, "", "", p->generation);
	finish(p, p->reload.said[0] != '\0', p->reload.said);
}

static void
on_deadline(uv_timer_t *t)
{
	struct parent *p = t->data;

	if (p->reload.step == RELOAD_CERT) {
		refuse(p, "the certificate was not loaded in time");
		return;
	}
	for (unsigned i = 0; i < p->n_process; i++)
		if (p->process[i].config_done != p->generation)
			log_warn(0, "%s: has not confirmed configuration %u",
				 p->process[i].name, p->generation);
	done(p);
}

/* Nothing fails from the second line on. */
static void
swap(struct parent *p)
{
	struct reload *r = &p->reload;
	char why[WHY_MAX] = "";

	if (firewall_apply(r->setup->config, p->workers, p->pairing.has_peer, why) <
	    0) {
		refuse(p, why);
		return;
	}
	uv_timer_stop(&r->deadline);
	swap_listeners(p, &r->sockets);
	sockets_close(&p->sockets);
	p->sockets = r->sockets;
	r->sockets = (struct sockets){ 0 };
	setup_free(p->setup);
	p->setup = r->setup;
	r->setup = NULL;
	setup_publish(p->setup, p->opt);
	close(p->config_fd);
	p->config_fd = r->config_fd;
	r->config_fd = -1;
	p->generation++;
	pairing_reloaded(p);
	log_set_level(p->opt->is_debug || parent_config(p)->log_debug ? LOG_L_DEBUG
								      : LOG_L_INFO);
	bool has_new_cert = r->has_cert;
	if (has_new_cert) {
		certificate_take(p, &r->cert);
		r->has_cert = false;
	}
	client_ca_read(p);
	r->said[0] = '\0';
	r->step = RELOAD_CHILDREN;
	for (unsigned i = 0; i < p->n_process; i++) {
		handout_config(&p->process[i]);
		if (has_new_cert && p->process[i].is_equipped)
			handout_cert(&p->process[i]);
	}
	uv_timer_start(&r->deadline, on_deadline, WAIT_MS, 0);
	pairing_check(p);
}

static char *
findings_text(const struct config_report *report)
{
	size_t cap = report->n * 512 + 1, n = 0;
	char line[512], *text = malloc(cap);

	if (text == NULL)
		return NULL;
	text[0] = '\0';
	for (size_t i = 0; i < report->n; i++) {
		finding_text(&report->finding[i], line, sizeof(line));
		n += (size_t)snprintf(text + n, cap - n, "%s%s", i > 0 ? "\n" : "",
				      line);
		if (report->finding[i].is_warning)
			log_warn(0, "%s", line);
		else
			log_err(0, "%s", line);
	}
	return text;
}

/* r->has_cert: another one is to be served than now. What acmed puts in place is the
 * watch's business (certswap.c); it matters here when the operator's own files come
 * or go, and a bad one of it must not stop a configuration. */
static int
read_certificate(struct parent *p, char *why)
{
	struct reload *r = &p->reload;
	int rc = certificate_read(&r->cert, p, why);

	if (rc < 0 && r->cert.is_live && p->cert.source == CERT_FILE) {
		certswap_refuse(p, why, -1);
		why[0] = '\0';
		rc = certificate_read_own(&r->cert, p, why);
	}
	if (p->cert.source != CERT_FILE && (r->cert.is_live || p->cert.is_live) &&
	    r->cert.source != CERT_FILE) {
		certificate_close(&r->cert);
		p->certswap.is_due = true;
		why[0] = '\0';
		return 0;
	}
	r->has_cert = rc == 0;
	if (rc == 0 && certificate_same(&r->cert, &p->cert)) {
		p->cert.is_live = r->cert.is_live;
		certificate_close(&r->cert);
		r->has_cert = false;
	}
	return rc;
}

static void
begin(struct parent *p)
{
	struct reload *r = &p->reload;
	struct config_report report = { 0 };
	char why[WHY_MAX] = "";

	int rc = setup_load(&r->setup, p->opt, &report, why);
	char *findings = findings_text(&report);
	config_report_free(&report);
	if (rc < 0) {
		refuse(p, why[0] != '\0'                            ? why
			  : findings != NULL && findings[0] != '\0' ? findings
								    : err_text(rc));
		free(findings);
		return;
	}
	free(findings);
	if (setup_resolve(r->setup, why) < 0 ||
	    needs_restart(p, r->setup->config, why, sizeof(why)) ||
	    sockets_open(&r->sockets, r->setup->config, p->workers, &p->sockets,
			 &p->last_handle, why) < 0 ||
	    read_certificate(p, why) < 0) {
		refuse(p, why[0] != '\0' ? why : "out of memory");
		return;
	}
	if ((rc = setup_memfd(r->setup, &r->config_fd)) < 0) {
		refuse(p, err_text(rc));
		return;
	}
	if (!r->has_cert) {
		swap(p);
		return;
	}
	r->cert.generation = ++p->last_cert;
	r->step = RELOAD_CERT;
	certificate_load(p, &r->cert);
	uv_timer_start(&r->deadline, on_deadline, WAIT_MS, 0);
}

void
reload_ask(struct parent *p, bool has_id, uint32_t id)
{
	struct reload *r = &p->reload;

	if (p->is_stopping)
		return;
	if (is_busy(p)) {
		r->is_again = true;
		r->next_has_id = has_id;
		r->next_id = id;
		return;
	}
	r->has_id = has_id;
	r->id = id;
	begin(p);
}

/* Would a reload of this text get as far as the children? */
static bool
would_load(struct parent *p, const char *text, char *said, size_t cap)
{
	struct config_report report = { 0 };
	struct setup *s = NULL;
	char why[WHY_MAX] = "";

	int rc = setup_load_text(&s, p->opt, text, &report, why);
	char *findings = findings_text(&report);
	config_report_free(&report);
	bool is_good = rc == 0 && setup_resolve(s, why) == 0 &&
		       !needs_restart(p, s->config, why, sizeof(why));
	if (!is_good)
		snprintf(said, cap, "%s",
			 why[0] != '\0'                            ? why
			 : findings != NULL && findings[0] != '\0' ? findings
								   : err_text(rc));
	free(findings);
	setup_free(s);
	return is_good;
}

void
reload_put(struct parent *p, const struct ipc_config_put *m, int fd)
{
	struct reload *r = &p->reload;
	char said[2048] = "";
	uint8_t *text = NULL;
	size_t n = 0;
	int rc = file_read_fd(fd, CONFIG_TEXT_MAX, &text, &n);

	close(fd);
	if (rc < 0)
		snprintf(said, sizeof(said), "%s", err_text(rc));
	bool is_good = rc == 0 && would_load(p, (const char *)text, said, sizeof(said));
	if (is_good && m->how == CONFIG_TAKE &&
	    (rc = file_replace(AT_FDCWD, p->opt->conf_path, span_of(text, n), 0644)) <
		    0) {
		snprintf(said, sizeof(said), "%s: %s", p->opt->conf_path, err_text(rc));
		is_good = false;
	}
	free(text);
	if (!is_good || m->how != CONFIG_TAKE) {
		put_done(p, m->id, !is_good, said);
		return;
	}
	if (!is_busy(p))
		r->put_id = m->id;
	else
		r->next_put_id = m->id;
	reload_ask(p, false, 0);
}

void
reload_cert_loaded(struct parent *p, const struct ipc_keys_loaded *m)
{
	char text[WHY_MAX];

	if (!m->is_bad && p->reload.cert.chain_fd >= 0) {
		swap(p);
		return;
	}
	if (m->is_bad && p->reload.cert.is_live) {
		struct certificate *cert = &p->reload.cert;
		certswap_refuse(p, m->text, cert->pem_fd);
		cert->pem_fd = -1;
		if (certificate_read_own(cert, p, text) == 0) {
			cert->generation = ++p->last_cert;
			certificate_load(p, cert);
			return;
		}
	}
	snprintf(text, sizeof(text), "certificate: %s",
		 m->is_bad ? m->text : "no memory");
	refuse(p, text);
}

void
reload_config_done(struct parent *p, struct process *c, const struct ipc_config_done *m)
{
	struct reload *r = &p->reload;

	if (r->step != RELOAD_CHILDREN || m->generation != p->generation)
		return;
	if (m->is_bad) {
		size_t n = strlen(r->said);
		snprintf(r->said + n, sizeof(r->said) - n, "%s%s: %s",
			 n > 0 ? "\n" : "", c->name, m->text);
	}
	if (all_have_it(p))
		done(p);
}

/* Its successor gets the certificate of the running world, so the new one
 * would never be answered. */
void
reload_child_died(struct parent *p, struct process *c)
{
	if (p->reload.step == RELOAD_CERT && c->who == IPC_KEYS)
		refuse(p, "the keys process died while loading the certificate");
}
