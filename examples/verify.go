// Checks a response or a callback of keypool, as a shop does before it believes one.
//
//	go run verify.go PUBLIC_KEY.pem RESPONSE.json [NAME=VALUE ...]    what was requested; now and max_age in seconds
//
// The shop has PUBLIC_KEY.pem from its operator: the product's own key, or else the global one. A shop also requests
// over TLS, keeps each row's id unique in its database, and escapes what it shows.
package main

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var pairs = regexp.MustCompile(
	`(?s)^(?:(?:now|max_age)=\d+|(?:code|identifier|quantity|product_id|owner_name|owner_email)=.*)$`)

func check(holds bool, status int, reason ...any) {
	if !holds {
		fmt.Fprintln(os.Stderr, append([]any{[]string{1: "does not hold:", 2: "usage:"}[status]}, reason...)...)
		os.Exit(status)
	}
}

func main() {
	check(len(os.Args) >= 3, 2, "verify PUBLIC_KEY.pem RESPONSE.json [NAME=VALUE ...]")
	file, _ := os.ReadFile(os.Args[1])
	block, _ := pem.Decode(file)
	check(block != nil, 2, os.Args[1], "is not a public key")
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	key, isRSA := parsed.(*rsa.PublicKey)
	check(err == nil && isRSA, 2, os.Args[1], "is not an RSA public key")
	body, err := os.ReadFile(os.Args[2])
	check(err == nil, 2, err)
	request := map[string]string{"now": fmt.Sprint(time.Now().Unix()), "max_age": "300"}
	for _, pair := range os.Args[3:] {
		check(pairs.MatchString(pair), 2, pair, "is not like", pairs)
		name, value, _ := strings.Cut(pair, "=")
		request[name] = value
	}
	now, _ := strconv.ParseInt(request["now"], 10, 64)
	maxAge, _ := strconv.ParseInt(request["max_age"], 10, 64)
	delete(request, "now")
	delete(request, "max_age")

	type envelope struct {
		Text      string `json:"response_base64"`
		Signature string
		Original  *envelope // A callback wraps the envelope.
	}
	var received envelope
	err = json.Unmarshal(body, &received)
	if received.Original != nil {
		received = *received.Original
	}
	check(err == nil && received.Text != "" && received.Signature != "", 1, "it is not an envelope of keypool")
	check(received.Signature != "Private key not set", 1, "it is not signed") // Anybody can write such a response.
	// The signature covers the text, not the JSON in it. private_key_used is not signed, so it must not choose the key.
	hash := sha256.Sum256([]byte(received.Text))
	signature, _ := base64.StdEncoding.DecodeString(received.Signature)
	err = rsa.VerifyPKCS1v15(key, crypto.SHA256, hash[:], signature)
	check(err == nil, 1, "another key signed it, or it was changed")
	text, _ := base64.StdEncoding.DecodeString(received.Text)
	var signed struct {
		Code, Timestamp     int64
		Message, Identifier string
		Rows                []struct {
			ProductID  int64  `json:"product_id"`
			OwnerName  string `json:"owner_name"`
			OwnerEmail string `json:"owner_email"`
		} `json:"license_keys"`
		Generated []string `json:"licenseKeys"`
	}
	err = json.Unmarshal(text, &signed) // The member response is not signed: never read it.
	// An old response verifies as well as a new one. Clocks may differ by five minutes. A callback may be days old.
	age := now - signed.Timestamp
	check(err == nil && age >= -300 && age <= maxAge, 1, "timestamp", signed.Timestamp, "is too far from", now)
	quantity := len(signed.Rows) + len(signed.Generated)
	said := map[string][]any{"code": {signed.Code}, "identifier": {signed.Identifier}, "quantity": {quantity}}
	for _, row := range signed.Rows {
		said["product_id"] = append(said["product_id"], row.ProductID)
		said["owner_name"] = append(said["owner_name"], row.OwnerName)
		said["owner_email"] = append(said["owner_email"], row.OwnerEmail)
	}
	for name, value := range request { // The response to another request verifies as well.
		check(len(said[name]) > 0, 1, name, "is not", value)
		for _, found := range said[name] {
			check(fmt.Sprint(found) == value, 1, name, "is not", value)
		}
	}
	fmt.Printf("holds: %d %s, %d license keys, timestamp %d\n", signed.Code, signed.Message, quantity, signed.Timestamp)
}
