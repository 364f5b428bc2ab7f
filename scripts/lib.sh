# What the scripts share: set-up, processes that are ended again, waiting for events, tables.
# To be sourced. Everything that a script starts is in `started` and ends with the script, by its PID.
# shellcheck shell=bash
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
dsu=${DSU:-$target/release/dsu}
tools=${DSU_TOOLS:-$target/release}
drills=$target/drills
jobs=${JOBS:-$(nproc)}
export PATH="$PATH:$HOME/.cargo/bin"

started=()
work=

say() { printf '%s\n' "$*" >&2; }
fail() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }
# For what this machine cannot have: 77 is counted as skipped, never as passed.
skip() { printf '%s: SKIPPED: %s\n' "${0##*/}" "$*" >&2; exit 77; }

end_process() { # PID
  kill -TERM "$1" 2>/dev/null || return 0
  local _
  for _ in $(seq 100); do
    kill -0 "$1" 2>/dev/null || { wait "$1" 2>/dev/null || true; return 0; }
    sleep 0.05
  done
  kill -KILL "$1" 2>/dev/null || true
  wait "$1" 2>/dev/null || true
}

clean_up() {
  local status=$? pid
  trap - EXIT
  for pid in "${started[@]}"; do end_process "$pid"; done
  if [ -n "$work" ]; then
    if [ "$status" -ne 0 ] && [ "$status" -ne 77 ]; then
      say "${0##*/}: failed; its files are kept in $work"
    else
      rm -rf "$work"
    fi
  fi
  exit "$status"
}

# A folder for the script's files, gone when it ends well.
make_work() {
  mkdir -p "$drills"
  work=$(mktemp -d --tmpdir="$drills" --suffix=".${0##*/}")
  trap clean_up EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

# Waits until a command succeeds; fails when it has not after SECONDS, or when process PID is gone.
wait_until() { # SECONDS PID WHAT COMMAND...
  local deadline=$((SECONDS + $1)) pid=$2 what=$3
  shift 3
  until "$@" >/dev/null 2>&1; do
    kill -0 "$pid" 2>/dev/null || fail "$what: process $pid is gone"
    [ "$SECONDS" -lt "$deadline" ] || fail "$what: not in time"
    sleep 0.02
  done
}

# Whether the load client said, at least COUNT times, that all its sessions reached something.
has_reached() { # EVENTS-FILE WHAT COUNT
  [ "$(jq -r --arg what "$2" 'select(.event == "reached" and .what == $what) | .what' "$1" | wc -l)" -ge "$3" ]
}

summary() { jq -r "select(.event == \"summary\") | $2" "$1"; } # EVENTS-FILE FILTER

have_package() { dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed; }

need_packages() { # PACKAGE...
  local missing=() package
  command -v dpkg-query >/dev/null || return 0 # not a Debian: what is missing will be named when it is needed
  for package in "$@"; do have_package "$package" || missing+=("$package"); done
  [ ${#missing[@]} -gt 0 ] || return 0
  [ "$(id -u)" -eq 0 ] || fail "missing packages; as root: apt-get install ${missing[*]}"
  say "installing ${missing[*]}"
  [ -n "$(find /var/lib/apt/lists -name '*Packages*' -mmin -1440 -print -quit 2>/dev/null)" ] || apt-get -qq update
  DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null ||
    { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null; }
}

build_tools() {
  need_packages gcc libc6-dev make jq
  command -v cargo >/dev/null || fail "no cargo: install a Rust toolchain first"
  say "building dsu and the load clients"
  (cd "$root" && cargo build --quiet --release -j "$jobs" -p dsu-engine -p dsu-load -p kvd-spaces)
  make -s -C "$root/examples/kvd" OUT="$drills/kvd"
  # A spec names its plugin from its own folder.
  cp "$root"/examples/kvd/*.toml "$tools/kvd-spaces" "$drills/kvd/"
  [ -x "$dsu" ] || fail "$dsu is not there"
}

# Updates a process and checks that it is what it should be. Sets `pause`, in milliseconds.
update() { # PID PROGRAM [SPEC]
  local status=0 program
  program=$(realpath "$2")
  "$dsu" update --pid "$1" --program "$2" ${3:+--spec "$3"} --wait 180s --json >"$work/update.json" 2>"$work/update.err" || status=$?
  if [ "$status" -ne 0 ]; then
    cat "$work/update.json" "$work/update.err" >&2
    fail "update of $1 to $2: exit code $status"
  fi
  pause=$(jq -r ".pause_ms * 10 | round / 10" "$work/update.json")
  [ "$(jq -r .result "$work/update.json")" = updated ] || fail "update of $1 to $2: not updated: $(cat "$work/update.json")"
  [ "$(readlink "/proc/$1/exe")" = "$program" ] || fail "/proc/$1/exe is $(readlink "/proc/$1/exe"), not $program"
  [ "$(awk '$1 == "TracerPid:" {print $2}' "/proc/$1/status")" = 0 ] || fail "something still traces $1"
}

# Tries an update that may be refused. Sets `outcome` to updated or refused, `pause` in milliseconds, and `why` it was refused.
try_update() { # PID PROGRAM WAIT
  local status=0
  pause=- why=
  "$dsu" update --pid "$1" --program "$2" --wait "$3" --json >"$work/update.json" 2>"$work/update.err" || status=$?
  case $status in
    0) outcome=updated pause=$(jq -r '.pause_ms * 10 | round / 10' "$work/update.json") ;;
    3) outcome=refused why=$(jq -r "$reasons" "$work/update.json") ;;
    *) cat "$work/update.json" "$work/update.err" >&2; fail "update of $1 to $2: exit code $status" ;;
  esac
  kill -0 "$1" 2>/dev/null || fail "process $1 did not survive its update to $2 ($outcome)"
}

# What stands in the way, shortened: function, location and reason of frames, else the blocker's own words; three reasons at most. Paths and
# addresses are left out, so that the same reason of many threads is told once.
reasons='def short: gsub("[^ (`]*/"; "") | gsub(":[0-9]+"; "") | gsub("0x[0-9a-f]+"; "…") | .[0:150];
  [(.blockers // [])[] | if (.frames // []) != [] then .frames[] | "\(.function): \(if .location then .location + ": " else "" end)\(.reason)" | short
    elif .kind == "active-function" then "a thread is inside `\(.function)`, away from a call" else .message | short end] +
  [(.obstacles // [])[] | .message // . | tostring | short] | unique |
  if length > 3 then .[0:3] + ["and \(length - 3) more reasons"] else . end | join("; ")'

# A compiler and its options, in words for a table: `gcc -O2 frame pointers`.
build_name() { printf '%s' "$*" | sed 's/-fno-omit-frame-pointer/with frame pointers/; s/ -fomit-frame-pointer//'; }

# Builds both versions of an example below examples/stacks with COMPILER FLAGS..., into `work`/NAME-v1 and NAME-v2.
build_versions() { # NAME COMPILER [FLAG...]
  local name=$1 version
  shift
  for version in 1 2; do
    "$@" -g -Wall -Wextra -pthread "-DVERSION=$version" -o "$work/$name-v$version" "$root/examples/stacks/$name.c"
  done
}

# Starts a program that reads lines from `in` and writes them to `out`, both in `work`. Sets `process`.
launch_talker() { # COMMAND...
  rm -f "$work/in" "$work/out"
  mkfifo "$work/in" && : >"$work/out"
  "$@" <>"$work/in" >"$work/out" & process=$!
  started+=("$process")
}

# Sends a line to the program and waits for one more line of its own that begins with WHAT. Sets `answer`.
ask() { # LINE WHAT
  local before
  before=$(grep -c "^$2" "$work/out" || true)
  printf '%s\n' "$1" >"$work/in"
  # A program may end with its answer.
  wait_until 60 $$ "the answer to '$1'" eval "has_more '$2' $before || ! kill -0 $process"
  has_more "$2" "$before" || fail "process $process ended without an answer to '$1': $(tail -n 3 "$work/out")"
  answer=$(grep "^$2" "$work/out" | tail -n 1)
}

has_more() { [ "$(grep -c "^$1" "$work/out")" -gt "$2" ]; } # WHAT COUNT

# Waits for the end of the program that was launched; fails unless it ends well.
wait_end() {
  local status=0
  wait "$process" || status=$?
  [ "$status" -eq 0 ] || fail "the program ended with $status: $(tail -n 3 "$work/out")"
}

# What a table has no room for, printed below it.
notes=()
add_note() { notes+=("$*"); }

# One line per update: drill, step, client errors, wrong values, longest stall, pause. Kept for the table at the end.
rows=()
add_row() { rows+=("$(printf '%s\t' "$@")"); }

print_table() { # FILE of tab-separated rows, or the rows of this script
  {
    printf 'drill\tstep\tclient errors\twrong values\tlongest stall ms\tpause ms\n'
    if [ $# -gt 0 ]; then cat "$1"; else printf '%s\n' "${rows[@]}"; fi
  } | awk -F'\t' '{
      for (i = 1; i <= 6; i++) { cell[NR, i] = $i; if (length($i) > width[i]) width[i] = length($i) }
    } END {
      for (r = 1; r <= NR; r++) {
        line = ""
        for (i = 1; i <= 6; i++) line = line sprintf(i < 3 ? "%-" width[i] "s  " : "%" width[i] "s  ", cell[r, i])
        sub(/ +$/, "", line); print line
      }
    }'
}

finish_drill() {
  print_table
  [ ${#notes[@]} -eq 0 ] || printf '%s\n' "${notes[@]}"
  if [ -n "${DRILL_ROWS:-}" ]; then
    printf '%s\n' "${rows[@]}" >>"$DRILL_ROWS"
    [ ${#notes[@]} -eq 0 ] || printf '%s\n' "${notes[@]}" >>"$DRILL_ROWS.notes"
  fi
}

# Fails unless the load client noticed nothing.
check_clean() { # EVENTS-FILE
  local errors wrong
  errors=$(summary "$1" .errors) wrong=$(summary "$1" .wrong)
  if [ "$errors" != 0 ] || [ "$wrong" != 0 ] || [ "$(summary "$1" .requests)" -eq 0 ]; then
    summary "$1" '.problems[]' >&2
    print_table
    fail "client errors: ${errors:-no summary}, wrong values: ${wrong:-no summary}; both must be 0"
  fi
}

# Asks a load client to stop and waits for its summary.
stop_load() { # PID EVENTS-FILE
  local status=0
  kill -TERM "$1" 2>/dev/null || true
  wait "$1" || status=$?
  [ -n "$(summary "$2" .event)" ] || fail "the load client ended with $status and no summary"
}
