package main

import (
	"errors"
	"net/http"
	"strconv"

	"site/pages/internal/web"
)

// routes are the paths of this page. The proxy passes a path on as the client sent it, so they begin with the
// page's own route.
func routes(users *Users) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/users", users.list)
	mux.HandleFunc("POST /api/users", users.create)
	mux.Handle("/api/users", web.Allow("GET", "HEAD", "POST"))
	mux.HandleFunc("GET /api/users/{id}", users.get)
	mux.HandleFunc("PUT /api/users/{id}", users.update)
	mux.HandleFunc("DELETE /api/users/{id}", users.delete)
	mux.Handle("/api/users/{id}", web.Allow("GET", "HEAD", "PUT", "DELETE"))
	mux.HandleFunc("/", web.NotFound)
	return mux
}

func (u *Users) list(w http.ResponseWriter, r *http.Request) {
	web.JSON(w, http.StatusOK, u.List())
}

func (u *Users) create(w http.ResponseWriter, r *http.Request) {
	profile, ok := profileOf(w, r)
	if !ok {
		return
	}
	user, err := u.Create(profile)
	if err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Location", "/api/users/"+strconv.FormatInt(user.ID, 10))
	web.JSON(w, http.StatusCreated, user)
}

func (u *Users) get(w http.ResponseWriter, r *http.Request) {
	user, err := u.Get(id(r))
	if err != nil {
		refuse(w, err)
		return
	}
	web.JSON(w, http.StatusOK, user)
}

func (u *Users) update(w http.ResponseWriter, r *http.Request) {
	profile, ok := profileOf(w, r)
	if !ok {
		return
	}
	user, err := u.Update(id(r), profile)
	if err != nil {
		refuse(w, err)
		return
	}
	web.JSON(w, http.StatusOK, user)
}

func (u *Users) delete(w http.ResponseWriter, r *http.Request) {
	if err := u.Delete(id(r)); err != nil {
		refuse(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// id is the id in the request's path, 0 if that is no positive number: ids begin at 1, so 0 finds no user.
func id(r *http.Request) int64 {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil || id < 1 {
		return 0
	}
	return id
}

// profileOf reads a valid profile from the request, or answers what is wrong with it and returns false.
func profileOf(w http.ResponseWriter, r *http.Request) (Profile, bool) {
	var profile Profile
	if !web.Decode(w, r, &profile) {
		return profile, false
	}
	if problems := profile.Problems(); len(problems) > 0 {
		web.JSON(w, http.StatusUnprocessableEntity, web.Problem{Error: "the user is not valid", Fields: problems})
		return profile, false
	}
	return profile, true
}

// refuse answers an error of Users.
func refuse(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	switch {
	case errors.Is(err, ErrNoUser):
		status = http.StatusNotFound
	case errors.Is(err, ErrEmailTaken):
		status = http.StatusConflict
	}
	web.Error(w, status, err.Error())
}
