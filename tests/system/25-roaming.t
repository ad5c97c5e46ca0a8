#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 25-roaming.t -- a NAT gives the client's DTLS another port, again and again: the
# channel follows, also to another worker, and nothing falls back to TLS.
. "$(dirname "$0")/../lib/lab.sh"
lab_up || bail "no lab"
vpnd_up 'server { workers = 2 }
client_connection { dpd = 30 }' || bail "no vpnd"
user_add alice secret-a

# The router between client and gateway rewrites UDP to this source port.
in_wan nft -f - <<-END
	table ip roam {
		chain post { type nat hook postrouting priority srcnat; }
	}
END
nat_port() {
	in_wan nft -f - <<-END
		flush chain ip roam post
		add rule ip roam post oifname != "lo" ip daddr 192.0.2.10 udp dport $PORT masquerade to :$1
	END
	in_wan conntrack -D -p udp > /dev/null 2>&1
	true
}
dtls_events() { echo "$(event_count dtls_up) $(event_count dtls_down)"; }

nat_port 20001
ok "a client with DTLS behind NAT" client_up alice
ok "DTLS is up" within 10 has_dtls
ok "traffic" within 5 pings c1
events=$(dtls_events)
moved=0
for port in 20002 20003 20004 20005 20006 20007 20008 20009; do
	nat_port $port
	within 3 pings c1 && moved=$((moved + 1))
done
is "8 changes of port: traffic each time" $moved 8
is "the same DTLS channel all along" "$(dtls_events)" "$events"
ok "within one worker" log_has 'dtls peer moved to another port'
ok "and from one worker to another" log_has 'dtls peer moved here from another worker'
ok "the session list still shows DTLS" eval 'ctl sessions | grep -q dtls'

# The same under load, a change every 2 s: what is lost is little, nothing breaks.
head -c 30000000 /dev/urandom > "$LAB/blob"
in_lan timeout 60 socat -u TCP-LISTEN:7001,reuseaddr OPEN:"$LAB/got",creat,trunc &
recv=$!
within 3 eval 'in_lan ss -ltnH "sport = :7001" | grep -q .'
( for port in 20101 20102 20103; do sleep 2; nat_port $port; done ) &
roam=$!
ok "30 MB while the port changes every 2 s" in_client timeout 50 socat -u OPEN:"$LAB/blob" TCP:10.10.0.100:7001
wait $recv $roam
is "arrive whole" "$(sha256sum < "$LAB/got")" "$(sha256sum < "$LAB/blob")"
is "still the same channel" "$(dtls_events)" "$events"
lab_end
