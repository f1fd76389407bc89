package web

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSecretPrefersTheCredential(t *testing.T) {
	directory := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", directory)
	t.Setenv("SAMPLE_SECRET", "from the environment")
	if got := Secret("SAMPLE_SECRET"); got != "from the environment" {
		t.Fatalf("without a credential: %q", got)
	}
	if err := os.WriteFile(filepath.Join(directory, "SAMPLE_SECRET"), []byte("from the credential\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := Secret("SAMPLE_SECRET"); got != "from the credential" {
		t.Fatalf("with a credential: %q", got)
	}
}
