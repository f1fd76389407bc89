// Package settings reads config/settings.yaml, the settings of this site's pages. tqsd itself never reads it.
package settings

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Path is where the settings are: a page runs with the site's root as its working directory.
const Path = "config/settings.yaml"

// Settings are the values by key, as text.
type Settings map[string]string

// Load reads a file of `key: value` lines and # comments.
//
// That is as much of YAML as a small site needs and the standard library can honestly read. Anything more is
// refused, not misread; for lists and nested keys use a YAML module.
func Load(path string) (Settings, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()

	settings := Settings{}
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		if text := strings.TrimSpace(line); text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		key, value, found := strings.Cut(line, ":")
		value, err := plain(value)
		switch _, twice := settings[key]; {
		case !found || key == "" || strings.ContainsAny(key, " \t\"'-#"):
			return nil, fmt.Errorf("%s:%d: %q is not a `key: value` line", path, n, line)
		case err != nil:
			return nil, fmt.Errorf("%s:%d: %s: %w", path, n, key, err)
		case twice:
			return nil, fmt.Errorf("%s:%d: %s is set twice", path, n, key)
		}
		settings[key] = value
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return settings, nil
}

// plain is the value behind the colon of a line, without quotes and comment.
func plain(text string) (string, error) {
	if text != "" && text[0] != ' ' {
		return "", fmt.Errorf("a space is missing after the colon")
	}
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, `"`) {
		quoted, err := strconv.QuotedPrefix(text)
		if rest := strings.TrimSpace(text[len(quoted):]); err != nil || rest != "" && rest[0] != '#' {
			return "", fmt.Errorf("%s is not one quoted text", text)
		}
		return strconv.Unquote(quoted)
	}
	if comment := strings.Index(text, " #"); comment >= 0 {
		text = strings.TrimSpace(text[:comment])
	}
	if text == "" || strings.ContainsAny(text[:1], "[]{}&*!|>'%@`#-?,") || strings.Contains(text, ": ") {
		return "", fmt.Errorf("%q is not a plain value; put text in double quotes", text)
	}
	return text, nil
}

// Int returns a setting as a whole number, not below zero.
func (s Settings) Int(key string) (int, error) {
	number, err := strconv.Atoi(s[key])
	if err != nil || number < 0 {
		return 0, fmt.Errorf("%s: %s must be a whole number, not %q", Path, key, s[key])
	}
	return number, nil
}
