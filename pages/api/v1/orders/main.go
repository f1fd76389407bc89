// The page at /api/v1/orders: takes orders and works out what they cost, by the site's settings.
//
//	curl -i localhost:8080/api/v1/orders -H 'Content-Type: application/json' -d '{"items":[{"sku":"mug","quantity":2}]}'
//	curl -i localhost:8080/api/v1/orders/1
package main

import (
	"log"
	"net/http"
	"strconv"
	"sync"

	"site/pages/internal/settings"
	"site/pages/internal/web"
)

func main() {
	web.Serve(routes(settings.Path))
}

// shop keeps the orders in memory; see /api/users on what that means.
type shop struct {
	settings string // the path of the settings file
	mu       sync.Mutex
	orders   []Order
}

// routes reads the settings file anew for each order: a changed tax holds from the next order on, without a restart.
func routes(settings string) http.Handler {
	s := &shop{settings: settings}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v1/orders", s.create)
	mux.Handle("/api/v1/orders", web.Allow("POST"))
	mux.HandleFunc("GET /api/v1/orders/{id}", s.get)
	mux.Handle("/api/v1/orders/{id}", web.Allow("GET", "HEAD"))
	mux.HandleFunc("GET /health", s.health)
	mux.HandleFunc("/", web.NotFound)
	return mux
}

func (s *shop) create(w http.ResponseWriter, r *http.Request) {
	terms, err := readTerms(s.settings)
	if err != nil {
		log.Print(err)
		web.Error(w, http.StatusServiceUnavailable, "orders are not taken at the moment")
		return
	}
	var cart Cart
	if !web.Decode(w, r, &cart) {
		return
	}
	if problems := cart.Problems(); len(problems) > 0 {
		web.JSON(w, http.StatusUnprocessableEntity, web.Problem{Error: "the order is not valid", Fields: problems})
		return
	}

	order := terms.Order(cart)
	s.mu.Lock()
	order.ID = len(s.orders) + 1
	s.orders = append(s.orders, order)
	s.mu.Unlock()

	w.Header().Set("Location", "/api/v1/orders/"+strconv.Itoa(order.ID))
	web.JSON(w, http.StatusCreated, order)
}

func (s *shop) get(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.Atoi(r.PathValue("id"))
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil || id < 1 || id > len(s.orders) {
		web.Error(w, http.StatusNotFound, "there is no such order")
		return
	}
	web.JSON(w, http.StatusOK, s.orders[id-1])
}

// health is asked by tqsd before this version gets its first request. With settings that cannot be used the
// deployment stops there, and the version before goes on.
func (s *shop) health(w http.ResponseWriter, r *http.Request) {
	if _, err := readTerms(s.settings); err != nil {
		log.Print(err)
		web.Error(w, http.StatusInternalServerError, err.Error())
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
