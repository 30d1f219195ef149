// Tells what request Go's net/http saw.
package main

import (
	"encoding/hex"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
)

func main() {
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, "the body breaks off", http.StatusBadRequest)
			return
		}
		fields := []string{r.Method, r.RequestURI, string(body), r.Header.Get("Content-Type"), r.Header.Get("X")}
		for at, field := range fields {
			fields[at] = hex.EncodeToString([]byte(field))
		}
		w.Header().Set("X-Seen", strings.Join(fields, ":"))
		io.WriteString(w, "ok")
	})))
}
