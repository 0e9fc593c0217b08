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
[ "$number" -gt 0 ] || bad "SHA256SUMS names no item"

if [ "$failed" -eq 0 ]; then
    echo "All $number items are as they were sealed."
fi
exit "$failed"
