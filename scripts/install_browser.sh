#!/usr/bin/env bash
# Installs Chromium for the tests of the local page, where it is absent and can be installed.
set -euo pipefail

if command -v chromedriver >/dev/null && command -v chromium google-chrome >/dev/null; then
  exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "no Chromium, and no apt-get to be root with: the tests of the page are skipped" >&2
  exit 0
fi
apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium chromium-driver ||
  echo "Chromium could not be installed: the tests of the page are skipped" >&2
