/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* cert.h -- the commands about certificates. */
#ifndef CTL_CERT_H
#define CTL_CERT_H

#include "ctl/ctl.h"

#include <limits.h>
#include <stdint.h>

int cert_status(struct ctl *c, struct args *a);
int cert_show(struct ctl *c, struct args *a);
int cert_csr(struct ctl *c, struct args *a);
int cert_upload(struct ctl *c, struct args *a);
int cert_renew(struct ctl *c, struct args *a);
int cert_revoke(struct ctl *c, struct args *a);
int cert_account_key(struct ctl *c, struct args *a);
int cert_ca_upload(struct ctl *c, struct args *a);
int cert_ca_show(struct ctl *c, struct args *a);
int cert_ca_remove(struct ctl *c, struct args *a);
int cert_factory_reset(struct ctl *c, struct args *a);
/* diagnose.c */
int cert_diagnose(struct ctl *c, struct args *a);

/* A line to another program, whose socket is beside vpnd's. path is where the line
 * keeps its socket's; the caller calls ctl_close. */
struct ctl cert_line(const struct ctl *c, const char *program, char path[PATH_MAX]);
/* A member of an answer; "" when it is not there. */
const char *cert_text(const json_t *o, const char *key);
void cert_date(int64_t t, char out[32]);

#endif
