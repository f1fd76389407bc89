// The page at /api/v1/users: the old shape of /api/users, still served for clients that have not moved.
//
// Two versions of an API are two pages, with nothing between them: each is built, deployed and rolled back alone.
//
//	curl -i localhost:8080/api/v1/users/1
package main

import (
	"log"
	"net/http"
	"strconv"
	"time"

	"site/pages/internal/settings"
	"site/pages/internal/web"
)

// User is a user in the words of version 1.
type User struct {
	UserID   int    `json:"user_id"`
	FullName string `json:"full_name"`
}

var users = []User{{1, "Ada Lovelace"}, {2, "Grace Hopper"}, {3, "Katherine Johnson"}}

func main() {
	site, err := settings.Load(settings.Path)
	if err != nil {
		log.Fatal(err)
	}
	sunset, err := time.Parse(time.DateOnly, site["v1_sunset"])
	if err != nil {
		log.Fatalf("%s: v1_sunset: %v", settings.Path, err)
	}
	web.Serve(retiring(sunset, routes()))
}

func routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/users", func(w http.ResponseWriter, r *http.Request) {
		web.JSON(w, http.StatusOK, map[string][]User{"users": users})
	})
	mux.Handle("/api/v1/users", web.Allow("GET", "HEAD"))
	mux.HandleFunc("GET /api/v1/users/{id}", func(w http.ResponseWriter, r *http.Request) {
		id, err := strconv.Atoi(r.PathValue("id"))
		if err != nil || id < 1 || id > len(users) {
			web.Error(w, http.StatusNotFound, "there is no such user")
			return
		}
		web.JSON(w, http.StatusOK, users[id-1])
	})
	mux.Handle("/api/v1/users/{id}", web.Allow("GET", "HEAD"))
	mux.HandleFunc("/", web.NotFound)
	return mux
}

// retiring adds to every answer when this version ends (RFC 8594) and what follows it (RFC 5829).
func retiring(sunset time.Time, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Sunset", sunset.UTC().Format(http.TimeFormat))
		w.Header().Set("Link", `</api/users>; rel="successor-version"`)
		next.ServeHTTP(w, r)
	})
}
