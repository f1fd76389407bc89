package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"
	"time"
)

const (
	secret  = "whsec_test"
	payload = `{"id":"evt_1","type":"charge.succeeded"}`
)

var now = time.Unix(1_800_000_000, 0)

// sign is what Stripe does: the hex digits of the HMAC for an event sent at a time.
func sign(at time.Time, payload, secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "%d.%s", at.Unix(), payload)
	return hex.EncodeToString(mac.Sum(nil))
}

func header(at time.Time) string {
	return fmt.Sprintf("t=%d,v1=%s", at.Unix(), sign(at, payload, secret))
}

func TestTheSignatureIsTheOneOfAnIndependentTool(t *testing.T) {
	// printf '1800000000.%s' "$payload" | openssl dgst -sha256 -hmac whsec_test
	const digits = "48b354807a7a1e45d11e489a42141200504bcb594eb2944b64eda1d0f4b8c8fd"
	if got := sign(now, payload, secret); got != digits {
		t.Fatalf("sign = %s", got)
	}
}

func TestSignaturesThatAreTakenAndRefused(t *testing.T) {
	good := sign(now, payload, secret)
	for name, c := range map[string]struct {
		header string
		want   error
	}{
		"a fresh one":                  {header(now), nil},
		"with spaces":                  {fmt.Sprintf("t=%d, v1=%s", now.Unix(), good), nil},
		"the second of two":            {fmt.Sprintf("t=%d,v1=%064d,v1=%s", now.Unix(), 0, good), nil},
		"beside the test scheme":       {fmt.Sprintf("t=%d,v1=%s,v0=%064d", now.Unix(), good, 0), nil},
		"5 minutes old":                {header(now.Add(-tolerance)), nil},
		"5 minutes ahead":              {header(now.Add(tolerance)), nil},
		"older":                        {header(now.Add(-tolerance - time.Second)), errOld},
		"further ahead":                {header(now.Add(tolerance + time.Second)), errOld},
		"an old one with a fresh time": {fmt.Sprintf("t=%d,v1=%s", now.Unix(), sign(now.Add(-time.Hour), payload, secret)), errSignature},
		"one of another secret":        {fmt.Sprintf("t=%d,v1=%s", now.Unix(), sign(now, payload, "other")), errSignature},
		"one of another event":         {fmt.Sprintf("t=%d,v1=%s", now.Unix(), sign(now, "{}", secret)), errSignature},
		"a prefix":                     {fmt.Sprintf("t=%d,v1=%s", now.Unix(), good[:32]), errSignature},
		"only the test scheme":         {fmt.Sprintf("t=%d,v0=%s", now.Unix(), good), errHeader},
		"no time":                      {"v1=" + good, errHeader},
		"a time that is no number":     {"t=now,v1=" + good, errHeader},
		"not hex":                      {fmt.Sprintf("t=%d,v1=zz", now.Unix()), errHeader},
		"none":                         {"", errHeader},
	} {
		t.Run(name, func(t *testing.T) {
			if got := verify([]byte(payload), c.header, secret, now); !errors.Is(got, c.want) {
				t.Fatalf("verify = %v, want %v", got, c.want)
			}
		})
	}
}
