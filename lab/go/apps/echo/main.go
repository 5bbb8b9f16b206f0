// Echo is the application behind the gateways of the lab: it says who answered and what arrived, so that a test can tell
// which cluster and pod a request reached and what a gateway did to it on the way.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

type answer struct {
	Pod       string      `json:"pod"`
	Namespace string      `json:"namespace"`
	Cluster   string      `json:"cluster,omitempty"`
	Host      string      `json:"host"`
	Path      string      `json:"path"`
	Method    string      `json:"method"`
	Headers   http.Header `json:"headers"`
	Remote    string      `json:"remote"`
	BodyBytes int64       `json:"body_bytes"`
	BodySum   string      `json:"body_sha256,omitempty"`
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == "get" {
		get(os.Args[2])
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { reply(w, r, http.StatusOK) })
	mux.HandleFunc("/ws", webSocket)
	mux.HandleFunc("/slow", slow)
	mux.HandleFunc("/status/{code}", status)
	server := &http.Server{Addr: ":" + either("PORT", "8080"), Handler: mux, ReadHeaderTimeout: 30 * time.Second}
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	done := make(chan struct{})
	go func() {
		<-stop.Done()
		patience, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_ = server.Shutdown(patience)
		close(done)
	}()
	log.Printf("listening on %s", server.Addr)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	<-done
}

// get lets `kubectl exec POD -- /app get URL` ask from inside a pod, whose image has no other program.
func get(url string) {
	client := http.Client{Timeout: 10 * time.Second}
	response, err := client.Get(url)
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(os.Stdout, response.Body); err != nil {
		log.Fatal(err)
	}
	if response.StatusCode >= http.StatusBadRequest {
		log.Fatal(response.Status)
	}
}

func reply(w http.ResponseWriter, r *http.Request, code int) {
	hash, sum := sha256.New(), ""
	size, _ := io.Copy(hash, r.Body)
	if size > 0 {
		sum = hex.EncodeToString(hash.Sum(nil))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(answer{
		Pod: podName(), Namespace: os.Getenv("POD_NAMESPACE"), Cluster: os.Getenv("CLUSTER"),
		Host: r.Host, Path: r.URL.RequestURI(), Method: r.Method, Headers: r.Header,
		Remote: r.RemoteAddr, BodyBytes: size, BodySum: sum,
	})
}

func slow(w http.ResponseWriter, r *http.Request) {
	milliseconds, err := strconv.Atoi(r.URL.Query().Get("ms"))
	if err != nil || milliseconds < 0 {
		http.Error(w, "ms must be a number of milliseconds", http.StatusBadRequest)
		return
	}
	select {
	case <-time.After(time.Duration(milliseconds) * time.Millisecond):
		reply(w, r, http.StatusOK)
	case <-r.Context().Done():
	}
}

func status(w http.ResponseWriter, r *http.Request) {
	code, err := strconv.Atoi(r.PathValue("code"))
	if err != nil || code < 200 || code > 599 {
		http.Error(w, "the status must be between 200 and 599", http.StatusBadRequest)
		return
	}
	reply(w, r, code)
}

func podName() string {
	host, _ := os.Hostname()
	return either("POD_NAME", host)
}

func either(variable, otherwise string) string {
	if value := os.Getenv(variable); value != "" {
		return value
	}
	return otherwise
}
