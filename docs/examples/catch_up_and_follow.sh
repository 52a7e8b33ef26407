#!/bin/sh
# Catch up with the labels since a time, then follow them live: none is left out, and none comes twice.
#
#     docs/examples/catch_up_and_follow.sh POSITIONS_FILE PAST_FILE [SINCE] | your-program
#
# The past goes to PAST_FILE, and what comes from then on to stdout, each as JSON lines. The file of positions notes an
# offset for each partition, and the second command goes on at exactly those. Started again, it goes on where it ended.
set -eu
positions=$1 past=$2 since=${3:--1h}

sightline subscribe --format json --positions "$positions" --from "$since" --to end >>"$past"
echo "caught up" >&2
exec sightline subscribe --format json --positions "$positions"
