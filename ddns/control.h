/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* control.h -- what vpnctl may ask: RUNDIR/ddnsd.sock, for root only.
 *
 * As common/ctlsock.h says it:
 *   {"cmd":"status"}            -> {"ok":true,"node":N,"active":B,"uplinks":[...]}
 *   {"cmd":"update","wan":W}    the same, when everything is done or 20 s are over; W
 *                               may be missing. Active node only.
 *   {"cmd":"diagnose","wan":W}  -> {"ok":true,"steps":[{"wan","step","ok","text"}]}
 * or {"ok":false,"error":TEXT,"code":WORD}.
 */
#ifndef DDNS_CONTROL_H
#define DDNS_CONTROL_H

#define CONTROL_SOCKET "ddnsd.sock"

struct daemon;
struct control;

int control_open(struct control **out, struct daemon *d);
void control_close(struct control *c); /* NULL is fine */
void control_free(struct control *c);  /* after the loop has ended */

#endif
