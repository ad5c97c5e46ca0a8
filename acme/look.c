/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* look.c -- one look at everything, in the order in which it depends on each other. */
#include "acme/acmed.h"
#include "acme/automatic.h"
#include "acme/clientca.h"
#include "acme/custom.h"
#include "acme/live.h"
#include "acme/nodes.h"

#include <strings.h>
#include <time.h>

enum { LOOK_MS = 20 };

uint64_t
acmed_wall_s(void)
{
	return (uint64_t)time(NULL);
}

size_t
acmed_names(const struct config *c, const char *names[ACMED_NAMES])
{
	size_t n = 0;

	if (c->hostname[0] != '\0')
		names[n++] = c->hostname;
	if (n > 0 && c->backup_hostname[0] != '\0' &&
	    strcasecmp(c->hostname, c->backup_hostname) != 0)
		names[n++] = c->backup_hostname;
	return n;
}

static void
on_look(uv_timer_t *t)
{
	struct acmed *a = t->data;

	custom_look(a->custom);
	clientca_look(a);
	automatic_look(a->automatic);
	live_look(a->live, a);
	nodes_look(a);
}

void
acmed_look(struct acmed *a)
{
	if (!a->life.is_ending && !uv_is_active((uv_handle_t *)&a->look))
		uv_timer_start(&a->look, on_look, LOOK_MS, 0);
}
