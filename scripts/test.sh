#!/usr/bin/env bash
# Runs every test of the repository: `npm test`. Arguments go to `node --test` instead of the usual files:
#   npm test -- packages/protocol/src/selector.test.ts
# The exit code is the test runner's. The last lines are its totals (`# tests`, `# pass`, ...), with skipped tests by name above.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The npm package `node` brings the Node that this project runs on, also when this script is called without npm.
PATH="$PWD/node_modules/.bin:$PATH"
if [ ! -x node_modules/.bin/node ]; then
  echo 'scripts/test.sh: nothing is installed yet; run "npm ci" first' >&2
  exit 2
fi

bash scripts/test-services.sh

# Tests start thousands of nodes, agents and commands; compiling is a third of what a start costs.
export NODE_COMPILE_CACHE="$PWD/node_modules/.cache/compile"

# Many tests wait for processes rather than for a CPU, so at least two files at a time.
cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
concurrency=${TEST_CONCURRENCY:-$((cores < 2 ? 2 : cores > 8 ? 8 : cores))}
if [ $# -eq 0 ]; then set -- 'packages/*/src/**/*.test.ts' 'packages/*/bin/**/*.test.ts' 'test/**/*.test.ts'; fi

record=$(mktemp "${TMPDIR:-/tmp}/leonore-test.XXXXXX")
trap 'rm -f "$record"' EXIT
# A file that hangs is ended after ten minutes and counts as failed.
node --disable-warning=ExperimentalWarning --test --test-concurrency="$concurrency" --test-timeout=600000 \
  --test-reporter=spec --test-reporter-destination=stdout \
  --test-reporter=tap --test-reporter-destination="$record" "$@"
status=$?

if grep -qE '^ *ok .*# SKIP' "$record"; then
  echo
  echo 'Skipped, not passed:'
  grep -E '^ *ok .*# SKIP' "$record" | sed -E 's/^ *ok [0-9]+ - /  /; s/ # SKIP */: /; s/: $//'
fi
echo
tail -n 20 "$record" | grep -E '^# (tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) '
exit "$status"
