package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const terms = "currency: EUR\ntax_percent: 19\nshipping_cents: 490\nfree_shipping_from_cents: 5000\n"

func settingsFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "settings.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func ask(handler http.Handler, method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

func TestAnOrderCostsGoodsShippingAndTax(t *testing.T) {
	site := routes(settingsFile(t, terms))
	for body, want := range map[string]Order{
		`{"items":[{"sku":"mug","quantity":1},{"sku":"sticker","quantity":3}]}`: {Goods: 1700, Shipping: 490, Tax: 416, Total: 2606},
		`{"items":[{"sku":"mug","quantity":4}]}`:                                {Goods: 5000, Shipping: 0, Tax: 950, Total: 5950},
	} {
		w := ask(site, "POST", "/api/v1/orders", body)
		var got Order
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusCreated {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if got.Goods != want.Goods || got.Shipping != want.Shipping || got.Tax != want.Tax || got.Total != want.Total {
			t.Errorf("%s costs %+v, want %+v", body, got, want)
		}
		if again := ask(site, "GET", w.Header().Get("Location"), ""); again.Body.String() != w.Body.String() {
			t.Errorf("%s holds %s", w.Header().Get("Location"), again.Body)
		}
	}
}

func TestOrdersThatAreRefused(t *testing.T) {
	site := routes(settingsFile(t, terms))
	for body, field := range map[string]string{
		`{"items":[]}`: `"items"`,
		`{"items":[{"sku":"yacht","quantity":1}]}`:                                                         `items[0].sku`,
		`{"items":[{"sku":"mug","quantity":1},{"sku":"mug","quantity":-1}]}`:                               `items[1].quantity`,
		`{"items":[{"sku":"mug","quantity":1001}]}`:                                                        `items[0].quantity`,
		`{"items":[` + strings.Repeat(`{"sku":"mug","quantity":1},`, 100) + `{"sku":"mug","quantity":1}]}`: `"items"`,
	} {
		if w := ask(site, "POST", "/api/v1/orders", body); w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), field) {
			t.Errorf("%d %s, want a word about %s", w.Code, w.Body, field)
		}
	}
	if w := ask(site, "GET", "/api/v1/orders/1", ""); w.Code != http.StatusNotFound {
		t.Errorf("a refused order was kept: %s", w.Body)
	}
}

func TestChangedSettingsHoldFromTheNextOrder(t *testing.T) {
	path := settingsFile(t, terms)
	site := routes(path)
	const body = `{"items":[{"sku":"mug","quantity":4}]}`
	if err := os.WriteFile(path, []byte(strings.Replace(terms, "19", "0", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if w := ask(site, "POST", "/api/v1/orders", body); !strings.Contains(w.Body.String(), `"tax_cents":0`) {
		t.Fatalf("%s", w.Body)
	}
}

func TestUnusableSettingsMakeThePageUnhealthy(t *testing.T) {
	if w := ask(routes(settingsFile(t, terms)), "GET", "/health", ""); w.Code != http.StatusNoContent {
		t.Fatalf("with sound settings: %d", w.Code)
	}
	for _, content := range []string{"", strings.Replace(terms, "EUR", "euros", 1), strings.Replace(terms, "19", "-1", 1)} {
		site := routes(settingsFile(t, content))
		if w := ask(site, "GET", "/health", ""); w.Code != http.StatusInternalServerError {
			t.Errorf("with %q: %d", content, w.Code)
		}
		if w := ask(site, "POST", "/api/v1/orders", `{"items":[{"sku":"mug","quantity":1}]}`); w.Code != http.StatusServiceUnavailable {
			t.Errorf("an order with %q: %d", content, w.Code)
		}
	}
}
