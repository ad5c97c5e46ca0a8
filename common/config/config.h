/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* config.h -- the configuration: loaded once, cross-checked, then const.
 *
 * Two libconfuse texts: tandem.conf (the service; the same on both nodes of a
 * pair) and node.conf (this node: name, uplinks). Every option is one row of
 * schema.c. All mistakes are reported at once, each with file, line, setting
 * and rule; warnings likewise, but they do not refuse.
 *
 * Ownership: config_load gives, config_free ends. Nothing in it changes later.
 * Errors: 0 or E_INVAL with at least one error in the report.
 */
#ifndef VPND_CONFIG_CONFIG_H
#define VPND_CONFIG_CONFIG_H

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	CONFIG_WANS = 2,
	CONFIG_DNS = 8,
	CONFIG_VIRTUAL = 8,
	CONFIG_ROUTES = 256,        /* split destinations, both families together */
	CONFIG_DOMAINS = 256,       /* dynamic client routing */
	CONFIG_DOMAINS_TEXT = 5000, /* all of them with commas: the clients' limit */
	CONFIG_GROUPS = 32,
	CONFIG_DDNS = CONFIG_WANS, /* one per uplink */
	CONFIG_STUN = 4,           /* servers to ask for the outside address */
	CONFIG_HOST = 254,         /* a name or address, NUL counted */
	CONFIG_BANNER = 4096,
	CONFIG_TEXT_MAX = 256 * 1024, /* bytes of one file */
};

struct prefix4 {
	struct in_addr addr; /* host bits zero */
	uint8_t len;
};
struct prefix6 {
	struct in6_addr addr;
	uint8_t len;
};

enum uplink_type { UPLINK_WIRED, UPLINK_CELLULAR };
enum routing_mode { ROUTING_FULL, ROUTING_EXCLUDE, ROUTING_INCLUDE };
enum node_role { NODE_SINGLE, NODE_PRIMARY, NODE_SPARE };
enum dynamic_mode { DYNAMIC_OFF, DYNAMIC_INCLUDE, DYNAMIC_EXCLUDE };
/* A user's login beyond user_sessions: refused; displaces the oldest session;
 * displaces that of the same device, else refused. */
enum displace { DISPLACE_NONE, DISPLACE_OLDEST, DISPLACE_DEVICE };
/* Passthrough: an upstream router knows the way to the clients, so nothing is
 * translated unless an uplink says so. */
enum node_mode { MODE_ROUTED, MODE_PASSTHROUGH };
enum tls_max { TLS_MAX_12, TLS_MAX_13 };
/* Where the server's certificate comes from, and how a CA is convinced. */
enum cert_method { METHOD_AUTO, METHOD_CUSTOM, METHOD_SELF_SIGNED };
enum cert_key_type { CERT_P256, CERT_RSA2048 };
enum cert_challenge { CHALLENGE_AUTO, CHALLENGE_DNS, CHALLENGE_ALPN, CHALLENGE_HTTP };

enum ddns_provider { DDNS_NONE, DDNS_RFC2136, DDNS_DYNDNS2 };
enum ddns_algorithm { DDNS_SHA256, DDNS_SHA512 };
enum ddns_family { DDNS_BOTH, DDNS_IPV4, DDNS_IPV6 };
enum ddns_foreign { DDNS_CORRECT, DDNS_REPORT };
/* Only: the certificate takes the place of name and password. */
enum client_cert {
	CLIENT_CERT_OFF,
	CLIENT_CERT_OPTIONAL,
	CLIENT_CERT_REQUIRED,
	CLIENT_CERT_ONLY
};
/* A responder that does not answer: passes (soft), refuses (hard). */
enum client_ocsp { CLIENT_OCSP_OFF, CLIENT_OCSP_SOFT, CLIENT_OCSP_HARD };
enum cert_user { CERT_USER_CN, CERT_USER_MAIL, CERT_USER_UPN };

/* One uplink (node.conf). ifname "" = the interface of the default route,
 * found by the parent at start. */
struct config_wan {
	char name[16]; /* "wan1", "wan2" */
	char ifname[IF_NAMESIZE];
	enum uplink_type type;
	bool service; /* clients may connect here */
	bool nat;     /* masquerade what leaves here from the client subnet */
};

struct config_route {
	sa_family_t family; /* AF_INET or AF_INET6 */
	struct prefix4 v4;
	struct prefix6 v6;
};

struct config_group {
	char name[64];
	char label[64];
};

/* How the record of an uplink's name is kept: server.hostname for "wan1",
 * server.backup_hostname for "wan2". */
struct config_ddns {
	char wan[16]; /* the title */
	enum ddns_provider provider;
	char server[CONFIG_HOST]; /* DNS server: name or address */
	uint16_t port;
	char zone[CONFIG_HOST];
	char key_name[CONFIG_HOST];
	enum ddns_algorithm key_algorithm;
	char secret[64]; /* name of a stored secret: TSIG key, or password */
	char user[128];
	char url[256]; /* dyndns2 */
	char ca_file[256];
	struct in_addr address4; /* fixed; zero: found */
	struct in6_addr address6;
	bool is_fixed; /* an address is given: none is looked for */
	enum ddns_family family;
	unsigned ttl_s, min_interval_s, check_interval_s;
	enum ddns_foreign on_foreign_change;
	char stun[CONFIG_STUN][CONFIG_HOST + 6]; /* "host" or "host:port" */
	unsigned n_stun;
	char lookup_url[256]; /* HTTPS page that tells our address */
};

struct config {
	/* node.conf */
	char node_name[64];       /* default: the host name */
	enum node_role node_role; /* of a pair: which half of the pool is ours */
	enum node_mode mode;
	bool behind_nat; /* a device before us translates our addresses */
	struct in_addr virtual4[CONFIG_VIRTUAL]; /* they move within a pair */
	struct in6_addr virtual6[CONFIG_VIRTUAL];
	unsigned n_virtual4, n_virtual6;
	struct config_wan wan[CONFIG_WANS];
	unsigned n_wan; /* at least 1: "wan1" on the default route's interface */

	/* server */
	bool enabled;
	uint16_t port;
	unsigned workers; /* 0: one per core */
	enum tls_max tls_max;
	char hostname[254];                        /* of the first wan, "" if not set */
	char backup_hostname[254];                 /* of the second, "" if not set */
	char certificate_file[256], key_file[256]; /* both or neither */
	unsigned session_limit; /* effective: number or model, default 1500 */
	char model[16];
	unsigned user_sessions; /* sessions per user, 0: no limit */
	enum displace user_sessions_policy;
	bool spare_serves; /* at its own addresses, while the other one is active */

	/* server certificate */
	enum cert_method cert_method;
	char cert_directory[256]; /* URL of the ACME directory */
	char cert_ca_file[256];   /* whom to trust as the ACME server; "": the system */
	char cert_email[128];
	bool cert_agree_tos;
	enum cert_key_type cert_key_type;
	enum cert_challenge cert_challenge;
	bool cert_without_ddns;
	char cert_chain[128];                           /* CN of the wanted root */
	char cert_eab_key_id[128], cert_eab_secret[64]; /* both or neither */

	/* client connection */
	char banner[CONFIG_BANNER]; /* "" none */
	char profile_file[256];     /* "" generated when hostname is set */
	char profile_alias[64];
	bool local_lan_access;  /* profile allows it */
	char download_url[256]; /* where users get the client software */
	struct config_group group[CONFIG_GROUPS];
	unsigned n_group; /* 0: no group list */

	/* addressing and routing */
	struct prefix4 pool4; /* always set; default 10.200.0.0/20 */
	struct prefix6 pool6; /* len 0: none */
	struct in_addr dns4[CONFIG_DNS];
	struct in6_addr dns6[CONFIG_DNS];
	unsigned n_dns4, n_dns6;
	char suffix[254];
	enum routing_mode routing;
	struct config_route route[CONFIG_ROUTES];
	unsigned n_route;
	enum dynamic_mode dynamic;             /* Windows and macOS clients only */
	char domains[CONFIG_DOMAINS_TEXT + 1]; /* "a.example,b.example" */
	unsigned n_domain;
	bool client_bypass; /* the family without an address goes outside */
	bool tunnel_all_dns;

	/* timers, seconds */
	unsigned session_timeout_s; /* 1 .. 921600 (256 hours), default 8 hours */
	unsigned idle_timeout_s;    /* 0: never */
	unsigned dpd_s, dpd_mobile_s;
	unsigned keepalive_s;
	unsigned rekey_s;        /* 0: never; method is new-tunnel */
	unsigned disconnected_s; /* a session without connection is kept so long */
	unsigned mtu;            /* upper bound of the tunnel MTU, bytes */
	unsigned bandwidth_up, bandwidth_down; /* per session, kbit/s; 0: no limit */

	/* authentication */
	unsigned login_timeout_s; /* one TLS connection's whole login */
	unsigned max_attempts;    /* wrong passwords per login */
	enum client_cert client_certificate;
	char client_crl[256]; /* file, PEM or DER; "" none */
	enum client_ocsp client_ocsp;
	enum cert_user certificate_user; /* where the user's name is in it */

	/* dynamic DNS */
	struct config_ddns ddns[CONFIG_DDNS];
	unsigned n_ddns;

	bool log_debug;
};

/* One finding. setting is a path like "addressing.subnet". */
struct config_finding {
	bool is_warning;
	char file[128];
	unsigned line; /* 0 when it belongs to no line */
	char setting[96];
	char text[256]; /* rule and remedy; verbatim where the requirements give one */
};

struct config_report {
	struct config_finding *finding; /* owned; config_report_free */
	size_t n, n_error;
};

/* Parse and cross-check both texts; either may be NULL (absent file). The
 * names are only for messages. *out is NULL on error. */
int config_load(struct config **out, const char *name, const char *text,
		const char *node_name, const char *node_text,
		struct config_report *report);
void config_free(struct config *c);
void config_report_free(struct config_report *r);

/* May a name of ours come to mean another address while clients are connected: has
 * one a ddns section, be it with provider none, for one that somebody else keeps? They
 * are then told to look it up again when they come back. Not for the fun of it: a
 * client whose DNS is inside the tunnel waits for answers before it dials. */
bool config_names_dynamic(const struct config *c);

/* The name that clients dial over this uplink: "" when it is not set, NULL for an
 * uplink that has none. */
const char *config_wan_name(const struct config *c, const char *wan);

/* Read a whole file, bounded by CONFIG_TEXT_MAX. *text is NULL with rc 0 when
 * it does not exist. The caller frees. */
int config_read(const char *path, char **text);

/* Checks that need the file system: certificate, key and profile files exist,
 * the profile is a VPN profile. Only parent and `vpnd -t` call it. */
int config_check_files(const struct config *c, struct config_report *report);

/* Every limit and default: one line per option (path, type, range, unit, default,
 * reload effect), the limits of the models, and what is fixed. As text (json
 * false) or a JSON array. */
void config_explain(void (*line)(void *arg, const char *text), void *arg, bool json);

#endif
