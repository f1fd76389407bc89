package settings

import (
	"maps"
	"os"
	"path/filepath"
	"testing"
)

func load(t *testing.T, content string) (Settings, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "settings.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(path)
}

func TestKeysAndPlainValuesAreRead(t *testing.T) {
	got, err := load(t, "# shop\ncurrency: EUR\n\nshipping_cents: 490  # flat\r\ncolour: \"#fff: \\\"white\\\"\" # quoted\nurl: http://x/\n")
	want := Settings{"currency": "EUR", "shipping_cents": "490", "colour": `#fff: "white"`, "url": "http://x/"}
	if err != nil || !maps.Equal(got, want) {
		t.Fatalf("%v, %v", got, err)
	}
	if cents, err := got.Int("shipping_cents"); cents != 490 || err != nil {
		t.Fatalf("%d, %v", cents, err)
	}
	for _, key := range []string{"currency", "missing"} {
		if number, err := got.Int(key); err == nil {
			t.Errorf("%s is the number %d", key, number)
		}
	}
}

func TestWhatIsMoreThanAPlainLineIsRefused(t *testing.T) {
	for _, content := range []string{
		"currency", "currency:EUR", ": EUR", "a:\n  b: 1", "  indented: 1", "- item: 1", "list: [1, 2]", "map: {a: 1}",
		"text: |", "alias: *a", "a: 1\na: 2", "quoted: \"open", "quoted: \"a\" b", "single: 'a'", "nested: a: b", "empty:",
	} {
		if got, err := load(t, content); err == nil {
			t.Errorf("%q was read as %v", content, got)
		}
	}
}

func TestTheSettingsOfThisSiteAreReadable(t *testing.T) {
	if _, err := Load(filepath.Join("../../..", Path)); err != nil {
		t.Fatal(err)
	}
}
