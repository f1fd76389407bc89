package main

import (
	"fmt"

	"site/pages/internal/settings"
)

// prices are in cents: money is counted, never measured in floating point.
var prices = map[string]int{"mug": 1250, "shirt": 2400, "sticker": 150}

// Item is one line of an order.
type Item struct {
	SKU      string `json:"sku"`
	Quantity int    `json:"quantity"`
}

// Cart is what a client wants to buy.
type Cart struct {
	Items []Item `json:"items"`
}

// Problems says what is wrong with each item of c; empty means valid.
func (c Cart) Problems() map[string]string {
	problems := map[string]string{}
	if len(c.Items) == 0 || len(c.Items) > 100 {
		problems["items"] = "must be 1 to 100"
	}
	for i, item := range c.Items {
		if _, ok := prices[item.SKU]; !ok {
			problems[fmt.Sprintf("items[%d].sku", i)] = "is not sold here"
		}
		if item.Quantity < 1 || item.Quantity > 1000 {
			problems[fmt.Sprintf("items[%d].quantity", i)] = "must be 1 to 1000"
		}
	}
	return problems
}

// Order is a cart with what it costs.
type Order struct {
	ID       int    `json:"id"`
	Items    []Item `json:"items"`
	Currency string `json:"currency"`
	Goods    int    `json:"goods_cents"`
	Shipping int    `json:"shipping_cents"`
	Tax      int    `json:"tax_cents"`
	Total    int    `json:"total_cents"`
}

// Terms are the settings that orders depend on.
type Terms struct {
	Currency         string
	TaxPercent       int
	Shipping         int
	FreeShippingFrom int
}

func readTerms(path string) (Terms, error) {
	site, err := settings.Load(path)
	if err != nil {
		return Terms{}, err
	}
	terms := Terms{Currency: site["currency"]}
	if len(terms.Currency) != 3 {
		return Terms{}, fmt.Errorf("%s: currency must be a code like EUR, not %q", path, terms.Currency)
	}
	for key, number := range map[string]*int{
		"tax_percent":              &terms.TaxPercent,
		"shipping_cents":           &terms.Shipping,
		"free_shipping_from_cents": &terms.FreeShippingFrom,
	} {
		if *number, err = site.Int(key); err != nil {
			return Terms{}, err
		}
	}
	return terms, nil
}

// Order works out what a valid cart costs. Tax is rounded to the nearest cent.
func (t Terms) Order(cart Cart) Order {
	order := Order{Items: cart.Items, Currency: t.Currency}
	for _, item := range cart.Items {
		order.Goods += item.Quantity * prices[item.SKU]
	}
	if order.Goods < t.FreeShippingFrom {
		order.Shipping = t.Shipping
	}
	order.Tax = ((order.Goods+order.Shipping)*t.TaxPercent + 50) / 100
	order.Total = order.Goods + order.Shipping + order.Tax
	return order
}
