/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* automatic.h -- method auto: gives the order its requests, challenges, store and
 * clock, and the commands about it.
 *
 *   {"cmd":"renew"}            try now; the wait after a failure is over. With
 *                              "force":true also when nothing is due
 *   {"cmd":"revoke","reason":N}  of the certificate in the store (RFC 5280 5.3.1: 0
 * none, 1 key compromise, 4 superseded, 5 no longer used); the next one has a new key
 *   {"cmd":"new_account_key"}  roll the account's key over (RFC 8555 7.3.5)
 */
#ifndef ACME_AUTOMATIC_H
#define ACME_AUTOMATIC_H

#include "acme/acmed.h"

struct automatic;

int automatic_new(struct automatic **out, struct acmed *a);
void automatic_close(struct automatic *m);
void automatic_free(struct automatic *m); /* after the loop has ended */

void automatic_look(struct automatic *m);
/* There is another configuration; was: the one before, NULL none. What has nothing to
 * do with certificates disturbs no order. */
void automatic_changed(struct automatic *m, const struct config *was);

/* For status: {"state":"validating","text":"...","reason":"...","next":T,"renewal":T}
 */
json_t *automatic_status(const struct automatic *m);

void automatic_renew_command(struct acmed *a, uint32_t id, const json_t *q);
void automatic_revoke_command(struct acmed *a, uint32_t id, const json_t *q);
void automatic_key_command(struct acmed *a, uint32_t id, const json_t *q);

#endif
