#!/bin/sh
# Chassis control program of a lab BMC: passes the question on to the lab,
# which alone holds the power switches. Called as: chassis.sh NODE get|set ...
exec socat -t30 - UNIX-CONNECT:"$(dirname "$0")/power.sock" <<EOF
$*
EOF
