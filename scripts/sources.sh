# Gets the sources of a Debian package in two versions, checked by hash, without touching the system's apt.
# To be sourced after lib.sh. The archive is the one that this machine's own apt uses.
# shellcheck shell=bash

suite=bookworm
# The suite after it, of which upstream's releases are taken; this machine's apt need not know it.
next_suite=trixie
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# The private apt of the drills: its configuration, lists and cache are all below target/drills/apt.
source_apt() { # COMMAND ARGUMENT...
  local apt=$drills/apt command=$1
  shift
  "$command" -qq -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::State::Lists="$apt/lists" -o Dir::Cache="$apt/cache" -o APT::Sandbox::User=root "$@"
}

# Writes deb-src entries for both suites, from the repositories that this machine's apt knows.
set_up_source_apt() {
  local apt=$drills/apt
  [ -n "$(find "$apt/lists" -name "*_${next_suite}_*Sources*" -mmin -1440 -print -quit 2>/dev/null)" ] && return 0
  need_packages dpkg-dev patch xz-utils
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
  apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' | sort -u |
    awk -v suite="$suite" -v next_suite="$next_suite" -v keyring="$keyring" '
      function source(suite) { printf "deb-src [signed-by=%s] %s %s main\n", keyring, $1, suite }
      $3 == "main" && ($2 == suite || $2 == suite "-security" || $2 == suite "-updates") { source($2) }
      $3 == "main" && $2 == suite { source(next_suite) }' >"$apt/sources.list"
  [ -s "$apt/sources.list" ] || skip "this machine's apt knows no Debian $suite archive, from which the sources come"
  source_apt apt-get update
}

pinned_hash() { awk -v part="$2" '$2 == part {print $1}' "$root/scripts/sources/$1.sha256"; } # PACKAGE PART

check_hash() { # FILE EXPECTED
  local found
  found=$(sha256sum "$1" | cut -d' ' -f1)
  [ "$found" = "$2" ] || fail "${1##*/}: sha256 is $found, expected $2"
}

# The newest Debian version that the archive holds of an upstream version.
newest_of() { # PACKAGE UPSTREAM-VERSION, with its epoch
  source_apt apt-cache showsrc --only-source "$1" | sed -n 's/^Version: //p' | grep -F "$2-" | sort -V | tail -n 1
}

# Downloads the exact version, or else the newest that the archive holds of it. Prints the version it got.
download_source() { # PACKAGE VERSION FOLDER
  local package=$1 version=$2
  mkdir -p "$3"
  if ! (cd "$3" && source_apt apt-get source --download-only "$package=$version" >/dev/null 2>&1); then
    version=$(newest_of "$package" "${version%-*}") || true
    [ -n "$version" ] || skip "the archive holds no source of $package ${2%-*}"
    say "the archive holds no $package $2 any more; making it from $version"
    (cd "$3" && source_apt apt-get source --download-only "$package=$version" >/dev/null 2>&1) ||
      fail "apt-get source $package=$version failed"
  fi
  printf '%s\n' "$version"
}

# The patches of a version, from the list beside this script: "both" for the older one, those and "new" for the newer
# one, "next" for the upstream release of the next suite.
patches_of() { # PACKAGE older|newer|next
  awk -v age="$2" '($1 == "both" && age != "next") || ($1 == "new" && age == "newer") || $1 == age {print $2, $3}' \
    "$root/scripts/sources/$1.patches"
}

apply_patches() { # PACKAGE AGE FOLDER-OF-PATCHES TREE
  local hash patch
  while read -r hash patch; do
    [ -f "$3/$patch" ] || fail "$1: no patch $patch in $3"
    check_hash "$3/$patch" "$hash"
    patch -s -p1 -d "$4" <"$3/$patch" || fail "$1 ($2): $patch does not apply"
  done < <(patches_of "$1" "$2")
}

# Unpacks upstream's release in the next suite. Debian's own changes there are left out, but for the patches that the list
# names: they are those of this suite's package, whose older version must be unpacked already.
unpack_release() { # PACKAGE UPSTREAM-VERSION, with its epoch; FOLDER-OF-DOWNLOADS TREE
  local package=$1 upstream=$2 downloads=$3 tree=$4 version
  version=$(newest_of "$package" "$upstream") || true
  [ -n "$version" ] || skip "the archive holds no source of $package $upstream"
  mkdir -p "$downloads" "$tree"
  (cd "$downloads" && source_apt apt-get source --download-only --tar-only "$package=$version" >/dev/null 2>&1) ||
    fail "apt-get source $package=$version failed"
  local orig=("$downloads/$package"_*.orig.tar.*)
  check_hash "${orig[0]}" "$(pinned_hash "$package" "${upstream#*:}")"
  tar -C "$tree" --strip-components=1 -xf "${orig[0]}"
  apply_patches "$package" next "$drills/$package-older/debian/patches" "$tree"
}

# Unpacks a version and applies exactly its patches, each checked by its hash.
unpack_source() { # PACKAGE older|newer VERSION FOLDER-OF-DOWNLOADS TREE
  local package=$1 age=$2 version=$3 downloads=$4 tree=$5 got
  got=$(download_source "$package" "$version" "$downloads")
  local orig=("$downloads/$package"_*.orig.tar.*) debian=("$downloads/$package"_*.debian.tar.*)
  check_hash "${orig[0]}" "$(pinned_hash "$package" orig)"
  if [ "$got" = "$version" ]; then
    check_hash "${debian[0]}" "$(pinned_hash "$package" "$version")"
  fi
  mkdir -p "$tree"
  tar -C "$tree" --strip-components=1 -xf "${orig[0]}"
  tar -C "$tree" -xf "${debian[0]}"
  if [ "$got" = "$version" ] && ! diff <(patches_of "$package" "$age" | cut -d' ' -f2) \
    <(sed 's/#.*//' "$tree/debian/patches/series" | awk 'NF {print $1}') >/dev/null; then
    fail "$package $version holds other patches than scripts/sources/$package.patches says"
  fi
  apply_patches "$package" "$age" "$tree/debian/patches" "$tree"
}

# Builds a version once; kept below target/drills by version. BUILD is called in the source tree. The version is
# Debian's, or upstream's for "next".
build_source() { # PACKAGE older|newer|next VERSION BUILD RESULT
  local tree=$drills/$1-$2 stamp
  stamp="$3 $(declare -f "$4" | sha256sum)"
  if [ "$(cat "$tree/.built" 2>/dev/null)" != "$stamp" ] || [ ! -x "$tree/$5" ]; then
    set_up_source_apt
    rm -rf "$tree" "$drills/downloads/$1-$2"
    say "fetching and building $1 $3"
    if [ "$2" = next ]; then
      unpack_release "$1" "$3" "$drills/downloads/$1-$2" "$tree"
    else
      unpack_source "$1" "$2" "$3" "$drills/downloads/$1-$2" "$tree"
    fi
    (cd "$tree" && "$4") >"$tree.log" 2>&1 || { tail -n 30 "$tree.log" >&2; fail "building $1 $3 failed; all of it is in $tree.log"; }
    [ -x "$tree/$5" ] || fail "building $1 $3 made no $5"
    printf '%s\n' "$stamp" >"$tree/.built"
  fi
}
