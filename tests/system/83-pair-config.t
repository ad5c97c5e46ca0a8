#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 83-pair-config.t -- two gateways have one configuration and the same users,
# whoever changes them, whoever dies meanwhile
. "$(dirname "$0")/../lib/hapair.sh"
plan 37
v_up() { # NODE
	mkdir -p $LAB/v.$1
	[ -e $LAB/v.$1/c ] || printf 'server {\n\tport = 443\n}\n' > $LAB/v.$1/c
	printf 'node {\n\tname = "%s"\n\trole = "%s"\n}\nwan "wan1" {\n\tinterface = "wan1"\n}\n' $1 $([ $1 = a ] && echo primary || echo spare) > $LAB/v.$1/n
	in_node $1 sh -c "echo \$\$ > $LAB/v.$1/pid; exec $TANDEM_BIN/vpnd -f $LAB/v.$1/c -n $LAB/v.$1/n -s $LAB/v.$1 -r /run/tandem --hasync /run/tandem/hasync.sock >> $LAB/v.$1/log 2>&1" < /dev/null 3>&- 2> /dev/null &
	disown
	within 8 in_node $1 $TANDEM_BIN/vpnctl -S /run/tandem/vpnd.sock status 3>/dev/null
}
C() { local n=$1; shift; in_node $n $TANDEM_BIN/vpnctl -S /run/tandem/vpnd.sock "$@"; }
hash() { C $1 config hash | awk '{print $1}' | sort -u | tr '\n' ' '; }
one_hash() { [ "$(C a config hash | awk '{print $1}' | sort -u | wc -l)" = 1 ] && [ "$(C b config hash | awk '{print $1}' | sort -u | wc -l)" = 1 ] && [ "$(C a config hash|wc -l)" = 2 ]; }
port() { sed -n 's/.*port = //p' $LAB/v.$1/c; }
coro_up a; coro_up b; ha_up a; ha_up b
ok "the store is joined" within 8 synced a
ok "a serves" v_up a; ok "b serves" v_up b
sleep 2
ok "R166 one hash" within 3 one_hash
echo secret123 | C a user add alice --password-stdin > /dev/null
ok "R166 a user of a is on b" within 2 eval 'C b user list | grep -q alice'
echo secret123 | C b user add bob --password-stdin > /dev/null
ok "and one of b on a" within 2 eval 'C a user list | grep -q bob'
C b user disable alice > /dev/null
ok "a change too" within 2 eval 'C a user list | grep -q "alice *disabled"'
sed 's/443/444/' $LAB/v.a/c > $LAB/c2
like "applied on a, in force on both" "$(C a config apply $LAB/c2 2>&1)" 'in force.*on 2 nodes'
ok "R166 b writes it to its file" within 2 eval '[ "$(port b)" = 444 ]'
ok "R166 one hash" within 2 one_hash
cat > $LAB/gen.sh <<'E'
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout $1/k.pem -out $1/c.pem -subj /CN=x -days 30
E
in_node a sh -c "sh $LAB/gen.sh /run/tandem" >/dev/null 2>&1
printf 'server {\n\tport = 450\n\tcertificate = "/run/tandem/c.pem"\n\tkey = "/run/tandem/k.pem"\n}\n' > $LAB/c3
like "a file that b lacks: refused, naming b" "$(C a config apply $LAB/c3 2>&1)" 'b: .*c.pem'
is "nothing changed on either" "$(port a)$(port b)" 444444
sed 's/444/445/' $LAB/v.a/c > $LAB/c4
like "applied on b, to be confirmed" "$(C b config apply $LAB/c4 --confirm 3 2>&1)" 'in force.*on 2 nodes'
ok "both run it" within 2 eval '[ "$(port a)$(port b)" = 445445 ]'
sig b -9 $(cat $LAB/v.b/pid); in_node b pkill -9 -x vpnd; ha_kill9 b
ok "b dies: a returns to the one before" within 6 eval '[ "$(port a)" = 444 ]'
ok "a alone" within 3 alone a
like "a applies alone" "$(sed -i s/444/446/ $LAB/c2; C a config apply $LAB/c2 2>&1)" 'in force.*on 1 node'
ha_up b; ok "b is back" within 8 synced b
ok "b serves again" v_up b
ok "b takes what a has" within 4 eval '[ "$(port b)" = 446 ]'
ok "one hash" within 3 one_hash
sed -i s/446/447/ $LAB/v.a/c; C a reload > /dev/null
ok "a reload goes to b" within 3 eval '[ "$(port b)" = 447 ]'
like "a rollback on b" "$(C b config rollback 2>&1)" 'in force.*on 2 nodes'
ok "both run the one before" within 2 eval '[ "$(port a)$(port b)" = 446446 ]'

# All links cut, another configuration applied on each side, healed.
for s in hb lan wan1 wan2; do cut b $s; done
ok "cut: both are alone" within 5 eval 'alone a && alone b'
sed 's/446/460/' $LAB/v.a/c > $LAB/ca; sed 's/446/461/' $LAB/v.b/c > $LAB/cb
like "a's is in force on a" "$(C a config apply $LAB/ca 2>&1)" 'in force.*on 1 node'
like "b's is in force on b" "$(C b config apply $LAB/cb 2>&1)" 'in force.*on 1 node'
is "each has its own" "$(port a)$(port b)" 460461
for s in hb lan wan1 wan2; do heal b $s; done
ok "healed" within 8 eval 'synced a && synced b'
ok "equal generations: both run the primary's" within 5 eval '[ "$(port a)$(port b)" = 460460 ]'
ok "R166 one hash" within 2 one_hash
ok "the loser's text is kept on b" eval 'grep -q 461 $LAB/state.b/cluster/config.lost-*'
ok "with an event" eval 'C b events --last 50 | grep -q "store_conflict.*config"'
# Two on b against one on a: more generations win, whoever is the primary.
for s in hb lan wan1 wan2; do cut b $s; done
within 5 eval 'alone a && alone b' 3> /dev/null
sed -i 's/461/462/' $LAB/cb; C b config apply $LAB/cb > /dev/null 2>&1
sed -i 's/462/463/' $LAB/cb; C b config apply $LAB/cb > /dev/null 2>&1
sed -i 's/460/470/' $LAB/ca; C a config apply $LAB/ca > /dev/null 2>&1
is "again each has its own" "$(port a)$(port b)" 470463
for s in hb lan wan1 wan2; do heal b $s; done
ok "healed" within 8 eval 'synced a && synced b'
ok "both run what has more generations" within 5 eval '[ "$(port a)$(port b)" = 463463 ]'
ok "a keeps its own" eval 'grep -q 470 $LAB/state.a/cluster/config.lost-*'
