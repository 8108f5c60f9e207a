#!/bin/sh
# The jar of the real script is not among those of a broker; this asks the broker as well.
exec java -Xmx64m -cp '/opt/kafka/libs/*' kafka.admin.ConfigCommand "$@" --entity-type brokers --describe
