package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"
)

// tolerance is how far a signature's time may be from ours. It bounds how long a recorded event can be replayed.
const tolerance = 5 * time.Minute

var (
	errHeader    = errors.New("Stripe-Signature is not t=...,v1=...")
	errOld       = errors.New("the signature is not from the last 5 minutes")
	errSignature = errors.New("Stripe-Signature does not match the event")
)

// verify checks a Stripe-Signature header: "t=<unix seconds>,v1=<hex>", where v1 is the HMAC-SHA256 of
// "<t>.<payload>" under secret. While a secret is being rolled there are several v1, and one must match.
func verify(payload []byte, header, secret string, now time.Time) error {
	var stamp string
	var signatures [][]byte
	for _, part := range strings.Split(header, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch key {
		case "t":
			stamp = value
		case "v1":
			if signature, err := hex.DecodeString(value); err == nil {
				signatures = append(signatures, signature)
			}
		}
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || len(signatures) == 0 {
		return errHeader
	}

	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(stamp + "."))
	mac.Write(payload)
	want := mac.Sum(nil)
	for _, signature := range signatures {
		if hmac.Equal(signature, want) {
			if age := now.Sub(time.Unix(seconds, 0)); age > tolerance || age < -tolerance {
				return errOld
			}
			return nil
		}
	}
	return errSignature
}
