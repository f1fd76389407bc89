// The page at /: the home page, and the answer to every path that no other page takes.
package main

import (
	"bytes"
	"html/template"
	"log"
	"net/http"
	"path/filepath"

	"site/pages/internal/web"
)

// Home is what the home page shows.
type Home struct {
	Host   string // this site as the browser calls it
	Routes []Route
}

// Route is one line of the list on the home page.
type Route struct {
	Method, Path, What string
	Link               bool // whether a browser can open it
}

var sampleRoutes = []Route{
	{"GET", "/api/users", "all users, as JSON", true},
	{"POST", "/api/users", "a new user: name and email", false},
	{"GET PUT DELETE", "/api/users/{id}", "one user", false},
	{"GET", "/api/posts", "posts from a file that is deployed with the page", true},
	{"GET", "/api/posts?tag=go", "the posts with one tag", true},
	{"GET", "/api/v1/users", "the old API, beside the new one", true},
	{"POST", "/api/v1/orders", "an order, priced by config/settings.yaml", false},
	{"POST", "/webhooks/github", "GitHub's webhooks, signature checked", false},
	{"POST", "/webhooks/stripe", "Stripe's webhooks, signature and age checked", false},
	{"GET", "/chat", "a chat in Python: ASGI, with a WebSocket", true},
	{"GET POST", "/guestbook", "a guestbook in Python: WSGI, with SQLite", true},
	{"GET", "/clock", "a program that is none of tqsd's business", true},
	{"GET", "/assets/site.css", "a file, served by the proxy itself", true},
}

func main() {
	// The site's root is the working directory, so this is shared/templates/ of the site.
	web.Serve(routes("shared/templates"))
}

func routes(templates string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		home := Home{Host: r.Host, Routes: sampleRoutes}
		render(w, http.StatusOK, filepath.Join(templates, "home.html"), home)
	})
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		render(w, http.StatusNotFound, filepath.Join(templates, "not_found.html"), r.URL.Path)
	})
	return mux
}

// render answers with a template. It is read anew each time: what you change in it shows on the next reload,
// without a build.
func render(w http.ResponseWriter, status int, path string, value any) {
	layout := filepath.Join(filepath.Dir(path), "layout.html")
	page, err := template.ParseFiles(layout, path)
	var html bytes.Buffer // first into memory: a template that fails half-way must not leave half a page
	if err == nil {
		err = page.Execute(&html, value)
	}
	if err != nil {
		log.Print(err)
		http.Error(w, "this page cannot be shown", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	w.Write(html.Bytes())
}
