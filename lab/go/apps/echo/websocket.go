package main

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
)

const (
	handshakeGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" // RFC 6455, section 1.3
	opClose       = 0x8
	opPing        = 0x9
	opPong        = 0xA
	final         = 0x80
	masked        = 0x80
	longest       = 1 << 20
)

type frame struct {
	head    byte // FIN and opcode, sent back as they came
	payload []byte
}

// webSocket echoes the frames of a client, so that tests can see whether upgrades pass a gateway.
func webSocket(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("Sec-WebSocket-Key")
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") || key == "" {
		http.Error(w, "this path speaks WebSocket only", http.StatusUpgradeRequired)
		return
	}
	connection, buffer, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer connection.Close()
	sum := sha1.Sum([]byte(key + handshakeGUID))
	head := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-Pod: " + podName() +
		"\r\nSec-WebSocket-Accept: " + base64.StdEncoding.EncodeToString(sum[:]) + "\r\n\r\n"
	if _, err := io.WriteString(connection, head); err != nil {
		return
	}
	echoFrames(connection, buffer.Reader)
}

func echoFrames(connection net.Conn, reader *bufio.Reader) {
	for {
		received, err := readFrame(reader)
		if err != nil {
			return
		}
		opcode := received.head & 0x0F
		if opcode == opPong {
			continue
		}
		if opcode == opPing {
			received.head = final | opPong
		}
		if writeFrame(connection, received) != nil || opcode == opClose {
			return
		}
	}
}

func readFrame(reader *bufio.Reader) (frame, error) {
	var head [2]byte
	if _, err := io.ReadFull(reader, head[:]); err != nil {
		return frame{}, err
	}
	if head[1]&masked == 0 {
		return frame{}, errors.New("clients must mask their frames")
	}
	length, err := readLength(reader, head[1]&0x7F)
	if err != nil {
		return frame{}, err
	}
	var mask [4]byte
	if _, err := io.ReadFull(reader, mask[:]); err != nil {
		return frame{}, err
	}
	payload := make([]byte, length)
	if _, err := io.ReadFull(reader, payload); err != nil {
		return frame{}, err
	}
	for i := range payload {
		payload[i] ^= mask[i%4]
	}
	return frame{head[0], payload}, nil
}

func readLength(reader io.Reader, short byte) (uint64, error) {
	length := uint64(short)
	var err error
	switch short {
	case 126:
		var wide uint16
		err = binary.Read(reader, binary.BigEndian, &wide)
		length = uint64(wide)
	case 127:
		err = binary.Read(reader, binary.BigEndian, &length)
	}
	if err == nil && length > longest {
		err = errors.New("a frame is too long")
	}
	return length, err
}

func writeFrame(writer io.Writer, sent frame) error {
	length := len(sent.payload)
	head := []byte{sent.head}
	switch {
	case length < 126:
		head = append(head, byte(length))
	case length <= 0xFFFF:
		head = binary.BigEndian.AppendUint16(append(head, 126), uint16(length))
	default:
		head = binary.BigEndian.AppendUint64(append(head, 127), uint64(length))
	}
	_, err := writer.Write(append(head, sent.payload...))
	return err
}
