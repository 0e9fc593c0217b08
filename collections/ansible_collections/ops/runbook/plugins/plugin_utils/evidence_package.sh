#!/bin/sh
# Verifies this package with sha256sum, ssh-keygen and openssl. README.txt says what is done, and how to do it by hand.
# Usage: sh verify.sh [ALLOWED_SIGNERS TSA_CERTIFICATES]; without them, those in keys/ are used.
cd "$(dirname "$0")" || exit 2
signers=${1:-keys/allowed_signers}
authority=${2:-keys/tsa.pem}
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
failed=0

bad() {
    echo "FAILED  $1"
    failed=1
}

for seal in seals/*; do
    text=$seal/checkpoint
    signer=$(ssh-keygen -Y find-principals -f "$signers" -s "$text.sig" 2>/dev/null | head -n 1)
    if [ -n "$signer" ] &&
        ssh-keygen -q -Y verify -n ops-runbook-evidence -f "$signers" -I "$signer" -s "$text.sig" < "$text" > /dev/null 2>&1
    then
        echo "ok      $text is signed by $signer"
    else
        bad "$text.sig is no signature of an allowed signer over $text"
    fi
    time=$(sed -n 's/^time //p' "$text")
    if openssl ts -verify -data "$text" -in "$text.tsr" -CAfile "$authority" \
        -attime "$(date -u -d "$time" +%s)" > /dev/null 2>&1
    then
        stamped=$(openssl ts -reply -in "$text.tsr" -text 2>/dev/null | sed -n 's/^Time stamp: //p')
        echo "ok      $text existed at $stamped"
    else
        bad "$text.tsr is no time stamp of the authority over $text"
    fi
done

number=0
while IFS= read -r line; do
    number=$((number + 1))
    path=${line#*  }
    if ! (cd items && printf '%s\n' "$line" | sha256sum --check --status --strict -); then
        bad "items/$path is not what was sealed"
        continue
    fi
    proof=proofs/$(printf %06d "$number")
    seal=$(sed -n 's/^seal //p' "$proof" 2>/dev/null)
    { printf '\000'; printf %s "$line"; } | openssl dgst -sha256 -binary > "$work/node"
    sed 1d "$proof" > "$work/steps"
    while read -r side hash; do
        printf %s "$hash" | openssl base64 -d -A > "$work/sibling"
        if [ "$side" = left ]; then
            { printf '\001'; cat "$work/sibling" "$work/node"; } > "$work/both"
        else
            { printf '\001'; cat "$work/node" "$work/sibling"; } > "$work/both"
        fi
        openssl dgst -sha256 -binary "$work/both" > "$work/node"
    done < "$work/steps"
    root=$(od -An -v -tx1 "$work/node" | tr -d ' \n')
    if [ -n "$seal" ] && [ "$root" = "$(sed -n 's/^root //p' "seals/$seal/checkpoint")" ]; then
        echo "ok      items/$path was sealed in seal $seal"
    else
        bad "$proof does not lead from items/$path to the root in the checkpoint of seal $seal"
    fi
done < SHA256SUMS

# The last line is the record of this export. What it says was exported is all here, and nothing besides.
record=$(sed -n '$s/^[0-9a-f]*  //p' SHA256SUMS)
case $record in
    custody/*) ;;
    *) bad "SHA256SUMS does not end with the record of the export" ;;
esac
sed '$d' SHA256SUMS > "$work/listed"
sed -n '/^   "path": "/{N;s/^.*"path": "\(.*\)",\n *"sha256": "\(.*\)".*$/\2  \1/p;}' "items/$record" > "$work/exported"
grep -vxFf "$work/listed" "$work/exported" > "$work/withheld"
while read -r _hash path; do
    bad "items/$path was exported, and is withheld"
done < "$work/withheld"
grep -vxFf "$work/exported" "$work/listed" > "$work/added"
while read -r _hash path; do
    bad "items/$path is not in the record of the export, items/$record"
done < "$work/added"
sed 's/^[0-9a-f]*  //' SHA256SUMS > "$work/paths"
(cd items && find . ! -type d) | sed 's,^\./,,' | grep -vxFf "$work/paths" > "$work/strange"
while IFS= read -r path; do
    bad "items/$path is no item: SHA256SUMS does not name it"
done < "$work/strange"

if [ "$failed" -eq 0 ]; then
    echo "All $number items are as they were sealed."
fi
exit "$failed"
