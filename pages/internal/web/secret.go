package web

import (
	"os"
	"path/filepath"
	"strings"
)

// Secret returns the secret called name, or "" if there is none.
//
// An installed site keeps secrets as credentials, files in $CREDENTIALS_DIRECTORY that only this page can read.
// During development they are environment variables, from the file .env at the site's root.
func Secret(name string) string {
	if directory := os.Getenv("CREDENTIALS_DIRECTORY"); directory != "" {
		if content, err := os.ReadFile(filepath.Join(directory, name)); err == nil {
			return strings.TrimSpace(string(content))
		}
	}
	return os.Getenv(name)
}
