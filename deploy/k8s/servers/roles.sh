#!/bin/sh
# Run once by the image, in a new database: a role and a schema for each service.
set -e
psql --quiet --set ON_ERROR_STOP=1 --username postgres --dbname dragoman --file /run/issued/roles.sql
