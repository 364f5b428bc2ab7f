# Gets the sources of a Debian package in two versions, checked by hash, without touching the system's apt.
# To be sourced after lib.sh. The archive is the one that this machine's own apt uses.
# shellcheck shell=bash

suite=bookworm
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# The private apt of the drills: its configuration, lists and cache are all below target/drills/apt.
source_apt() { # COMMAND ARGUMENT...
  local apt=$drills/apt command=$1
  shift
  "$command" -qq -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::State::Lists="$apt/lists" -o Dir::Cache="$apt/cache" -o APT::Sandbox::User=root "$@"
}

# Writes deb-src entries for the suite, from the repositories that this machine's apt knows.
set_up_source_apt() {
  local apt=$drills/apt
  [ -n "$(find "$apt/lists" -name '*Sources*' -mmin -1440 -print -quit 2>/dev/null)" ] && return 0
  need_packages dpkg-dev patch xz-utils
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
  apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' | sort -u |
    awk -v suite="$suite" -v keyring="$keyring" '
      $3 == "main" && ($2 == suite || $2 == suite "-security" || $2 == suite "-updates") {
        printf "deb-src [signed-by=%s] %s %s main\n", keyring, $1, $2 }' >"$apt/sources.list"
  [ -s "$apt/sources.list" ] || skip "this machine's apt knows no Debian $suite archive, from which the sources come"
  source_apt apt-get update
}

pinned_hash() { awk -v part="$2" '$2 == part {print $1}' "$root/scripts/sources/$1.sha256"; } # PACKAGE PART

check_hash() { # FILE EXPECTED
  local found
  found=$(sha256sum "$1" | cut -d' ' -f1)
  [ "$found" = "$2" ] || fail "${1##*/}: sha256 is $found, expected $2"
}

# Downloads the exact version, or else the newest that the archive holds. Prints the version it got.
download_source() { # PACKAGE VERSION FOLDER
  local package=$1 version=$2
  mkdir -p "$3"
  if ! (cd "$3" && source_apt apt-get source --download-only "$package=$version" >/dev/null 2>&1); then
    version=$(source_apt apt-cache showsrc --only-source "$package" | sed -n 's/^Version: //p' | sort -V | tail -n 1)
    [ -n "$version" ] || skip "the archive holds no source of $package"
    say "the archive holds no $package $2 any more; making it from $version"
    (cd "$3" && source_apt apt-get source --download-only "$package=$version" >/dev/null 2>&1) ||
      fail "apt-get source $package=$version failed"
  fi
  printf '%s\n' "$version"
}

# The patches of a version, from the list beside this script: "both" for the older one, all for the newer one.
patches_of() { # PACKAGE older|newer
  awk -v age="$2" '$1 == "both" || ($1 == "new" && age == "newer") {print $2, $3}' "$root/scripts/sources/$1.patches"
}

# Unpacks a version and applies exactly its patches, each checked by its hash.
unpack_source() { # PACKAGE older|newer VERSION FOLDER-OF-DOWNLOADS TREE
  local package=$1 age=$2 version=$3 downloads=$4 tree=$5 got hash patch
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
  while read -r hash patch; do
    [ -f "$tree/debian/patches/$patch" ] || fail "$package $got: no patch $patch in it; $version cannot be made from it"
    check_hash "$tree/debian/patches/$patch" "$hash"
    patch -s -p1 -d "$tree" <"$tree/debian/patches/$patch" || fail "$package $version: $patch does not apply"
  done < <(patches_of "$package" "$age")
}

# Builds a version once; kept below target/drills by version. BUILD is called in the source tree.
build_source() { # PACKAGE older|newer VERSION BUILD RESULT
  local tree=$drills/$1-$2 stamp
  stamp="$3 $(declare -f "$4" | sha256sum)"
  if [ "$(cat "$tree/.built" 2>/dev/null)" != "$stamp" ] || [ ! -x "$tree/$5" ]; then
    set_up_source_apt
    rm -rf "$tree" "$drills/downloads/$1-$2"
    say "fetching and building $1 $3"
    unpack_source "$1" "$2" "$3" "$drills/downloads/$1-$2" "$tree"
    (cd "$tree" && "$4") >"$tree.log" 2>&1 || { tail -n 30 "$tree.log" >&2; fail "building $1 $3 failed; all of it is in $tree.log"; }
    [ -x "$tree/$5" ] || fail "building $1 $3 made no $5"
    printf '%s\n' "$stamp" >"$tree/.built"
  fi
}
