#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 23-onearm.t -- a concentrator with a single interface: the upstream router knows
# where the clients are.
. "$(dirname "$0")/../lib/lab.sh"
lab_up onearm || bail "no lab"
vpnd_up 'server { workers = 2 }
client_connection { dpd = 5 }
addressing { ipv6_prefix = "fd77::/64" }' 'node { mode = passthrough }' || bail "no vpnd"
user_add alice secret-a
ok "R21 one-armed: connects" client_up alice
ok "R21 DTLS" within 10 has_dtls
ok "R21 the LAN is reached" pings
ok "R21 IPv6" pings c1 fd00:10::100
ok "R21 the LAN reaches the client" in_lan ping -c 2 -i 0.1 -W 1 "$(inner4)"
client_signal USR2
again() { [ "$(client_log_count 'CSTP connected')" -ge 2 ]; }
ok "R21 a reconnect" within 10 again
ok "R21 and traffic" within 5 pings
client_down
ok "R21 the end" within 5 sessions_are 0

# The name of one arm belongs to the service: set only while that is on.
name_of() { ctl -j settings | jq -r '[.groups[][] | select(.setting == "server.hostname")][0].value'; }
ctl set server.enabled=false > /dev/null
fails "R29 switched off: no name" ctl set server.hostname=vpn.example.test
is "R29 nothing was set" "$(name_of)" ""
ok "R29 on, and named" ctl set server.enabled=true server.hostname=vpn.example.test
is "R29 it has the name" "$(name_of)" vpn.example.test
