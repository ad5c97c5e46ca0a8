/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* control_show.c -- what a session looks like to vpnctl and admind. */
#include "vpnd/session/control_state.h"

#include "vpnd/session/clients.h"

#include <stdio.h>
#include <string.h>

static void
put_addr(json_t *o, const char *key, const struct ip_addr *a)
{
	char text[IP_TEXT];

	if (a->family != 0)
		json_object_set_new(o, key, json_string(ip_text(a, text)));
}

/* A client's own words need not be UTF-8. */
void
show_text(json_t *o, const char *key, const char *text)
{
	json_t *s = json_string(text);

	json_object_set_new(o, key, s != NULL ? s : json_string("?"));
}

void
show_number(json_t *o, const char *key, uint64_t v)
{
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

void
show_sid(const uint8_t sid[IPC_SID], char text[2 * IPC_SID + 1])
{
	for (int i = 0; i < IPC_SID; i++)
		snprintf(text + 2 * i, 3, "%02x", sid[i]);
}

static const char *
tls_name(uint16_t version)
{
	return version == 0x0304 ? "TLSv1.3" : version == 0x0303 ? "TLSv1.2" : "";
}

static void
put_channels(json_t *o, const struct session *s)
{
	char cipher[8];

	if (s->has_tls) {
		show_number(o, "worker", s->tls_worker);
		show_text(o, "tls_version", tls_name(s->tls_version));
		show_text(o, "tls_cipher", s->tls_cipher);
		show_number(o, "mtu", s->mtu);
	}
	json_object_set_new(o, "dtls", json_boolean(s->has_dtls));
	show_text(o, "channel", s->has_dtls ? "dtls" : s->has_tls ? "tls" : "none");
	if (s->has_dtls) {
		snprintf(cipher, sizeof(cipher), "0x%04x", s->dtls_cipher);
		show_text(o, "dtls_cipher", cipher);
		show_number(o, "dtls_worker", s->dtls_worker);
		put_addr(o, "dtls_peer", &s->dtls_peer);
	}
}

static void
put_times(json_t *o, const struct session_table *t, const struct session *s,
	  struct now now)
{
	struct counters sum = session_sum(t, s);
	char text[32];
	time_t since = (time_t)s->wall_connected_s;
	struct tm tm;

	if (s->has_connected) {
		gmtime_r(&since, &tm);
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
		show_text(o, "since", text);
	}
	show_number(o, "duration_s", (now.mono_ms - s->connected_ms) / 1000);
	show_number(o, "session_left_s",
		    s->expires_ms > now.mono_ms ? (s->expires_ms - now.mono_ms) / 1000
						: 0);
	show_number(o, "idle_s",
		    now.mono_ms > sum.active_ms ? (now.mono_ms - sum.active_ms) / 1000
						: 0);
	show_number(o, "rx_bytes", sum.rx_bytes);
	show_number(o, "tx_bytes", sum.tx_bytes);
	show_number(o, "rx_pkts", sum.rx_pkts);
	show_number(o, "tx_pkts", sum.tx_pkts);
	show_number(o, "dtls_rx_pkts", sum.dtls_rx_pkts);
	show_number(o, "dtls_tx_pkts", sum.dtls_tx_pkts);
	show_number(o, "dropped", sum.dropped);
}

/* The numbers of the `platform` fields in messages.h, as workers find them. */
const char *
show_platform(uint8_t platform)
{
	return platform_name[platform < PLATFORMS ? platform : PLATFORM_UNKNOWN];
}

json_t *
show_session(const struct session_table *t, const struct session *s, struct now now)
{
	json_t *o = json_object();
	char sid[2 * IPC_SID + 1], id[9], version[CLIENT_VERSION];

	show_sid(s->claims.sid, sid);
	snprintf(id, sizeof(id), "%.8s", sid);
	show_text(o, "id", id);
	show_text(o, "sid", sid);
	show_text(o, "type", "AnyConnect");
	show_text(o, "user", s->claims.user);
	show_text(o, "group", s->claims.group);
	show_text(o, "policy", s->claims.policy);
	show_text(o, "state", session_state_name[s->state]);
	put_addr(o, "addr4", &s->claims.addr4);
	put_addr(o, "addr6", &s->claims.addr6);
	put_addr(o, "source", &s->source);
	show_text(o, "platform", show_platform(s->claims.platform));
	show_text(o, "agent", s->agent);
	client_version(version, s->agent);
	show_text(o, "client_version", version);
	show_text(o, "hostname", s->hostname);
	show_text(o, "device",
		  s->claims.device[0] != '\0' ? s->claims.device : s->hostname);
	put_channels(o, s);
	put_times(o, t, s, now);
	return o;
}
