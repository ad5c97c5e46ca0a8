#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 70-acme.t -- a certificate comes by itself from a real ACME server, and what stands in
# its way is said.
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/acme.sh"
lab_up || bail "no lab"
ca_keys && dns_up || bail "no name server"
pebble_up PEBBLE_WFE_NONCEREJECT=50 PEBBLE_AUTHZREUSE=0 PEBBLE_CHAIN_LENGTH=2 || bail "no pebble"
hasync_up || bail "no hasync"

acmed_up "$ACME_CONFIG" || bail "no acmed"
ok "R39 enrolled from an authority that refuses half of the nonces" within 20 acme_live auto
is "R39 the state says so" "$(acme_get auto.state)" live
