/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* control.h -- the socket: common/cluster.h from the other side. */
#ifndef HASYNC_CONTROL_H
#define HASYNC_CONTROL_H

#include "hasync/pair.h"

#include <sys/types.h>

enum { CONTROL_CLIENTS_MAX = 64, CONTROL_WATCHES_MAX = 16 };

struct control;

struct control_handlers {
	/* JSON for INFO. */
	void (*get_info)(void *arg, struct wr *w);
	/* Flags and epoch of a ROLE push; name and writer are filled in here. */
	void (*get_role)(void *arg, uint8_t *flags, uint64_t *epoch);
	enum cluster_status (*hold)(void *arg, struct span node, uint64_t ms,
				    uint8_t flags);
	/* vpnd's parent connected, beat (is_sick), or is gone. */
	void (*on_vpnd)(void *arg, bool is_there, bool is_sick);
	/* A program has something for the event stream. */
	void (*on_event)(void *arg, const char *kind, const char *event,
			 const char *text);
};

/* Who may connect besides root, and which objects it may write: prefixes, "" is
 * every object; the list ends with NULL. */
struct control_user {
	uid_t uid;
	const char *writes[4];
};

int control_open(struct control **out, uv_loop_t *loop, const char *path,
		 const struct control_user *users, size_t n_users,
		 const struct pair_config *c, struct store *s,
		 const struct control_handlers *h, void *arg);
/* Two steps, since each needs the other. */
void control_set_pair(struct control *, struct pair *p);
/* Handles are closed by the loop; free after it has run dry. */
void control_close(struct control *);
void control_free(struct control *);

/* To whom it may concern. */
void control_changed(struct control *, const struct object *o, struct span delta);
void control_result(struct control *, uint64_t ticket, const struct pair_result *r);
void control_role(struct control *);
void control_event(struct control *, const char *kind, const char *event,
		   const char *text);

#endif
