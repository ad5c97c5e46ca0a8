#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 25-roaming.t -- a NAT gives the client's DTLS another port, again and again: the
# channel follows, also to another worker, and nothing falls back to TLS.
. "$(dirname "$0")/../lib/lab.sh"
lab_up || bail "no lab"
CONFIG='server { workers = 2 }'
vpnd_up "$CONFIG
client_connection { dpd = 30 }" || bail "no vpnd"
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
declare -A port_of # a port that the kernel gives to this worker
for port in 20002 20003 20004 20005 20006 20007 20008 20009; do
	nat_port $port
	within 3 pings c1 && moved=$((moved + 1))
	port_of[$(session_get alice dtls_worker)]=$port
done
is "8 changes of port: traffic each time" $moved 8
is "the same DTLS channel all along" "$(dtls_events)" "$events"
ok "within one worker" log_has 'dtls peer moved to another port'
ok "and from one worker to another" log_has 'dtls peer moved here from another worker'
ok "the session list still shows DTLS" eval 'ctl sessions | grep -q dtls'

# The same under load, a change every 2 s: what is lost is little, nothing breaks. The
# limit of the session makes 20 MB each way last for 8 s, so that each change meets it.
ok "limited to 20 Mbit/s" vpnd_reload "$CONFIG
client_connection { dpd = 30  bandwidth_up = 20000  bandwidth_down = 20000 }"
head -c 20000000 /dev/urandom > "$LAB/blob"
want=$(sha256sum < "$LAB/blob")
bg_ns lan timeout 60 socat -u TCP-LISTEN:7001,reuseaddr OPEN:"$LAB/up",creat,trunc; up=$BG
bg_ns c1 timeout 60 socat -u TCP-LISTEN:7002,reuseaddr OPEN:"$LAB/down",creat,trunc; down=$BG
within 3 listens lan 7001; within 3 listens c1 7002
moves() { grep -c 'dtls peer moved here from another worker' "$LAB/vpnd.log"; }
before=$(moves)
bg_ns c1 timeout 50 socat -u OPEN:"$LAB/blob" TCP:10.10.0.100:7001; sends="$BG"
bg_ns lan timeout 50 socat -u OPEN:"$LAB/blob" TCP:$(inner4):7002; sends="$sends $BG"
both_run() { local p; for p in $sends; do [ -e /proc/$p ] || return 1; done; }
met=0
for i in 1 2 3 4 5 6 7 8; do
	sleep 2
	both_run || break
	nat_port ${port_of[$((1 - $(session_get alice dtls_worker)))]}
	met=$((met + 1))
done
wait $sends $up $down
ok "the port changed $met times while data went both ways" test $met -ge 3
moved=$(($(moves) - before))
# The last change may come when nothing is left to be sent.
ok "the session moved from worker to worker under it ($moved times)" test $moved -ge $((met - 1))
is "20 MB to the LAN are whole" "$(sha256sum < "$LAB/up")" "$want"
is "20 MB to the client are whole" "$(sha256sum < "$LAB/down")" "$want"
is "still the same channel" "$(dtls_events)" "$events"
lab_end
