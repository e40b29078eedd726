package dashboard

import (
	"net/http"

	"golang.org/x/text/language"
)

// texts are the words of one language.
type texts struct {
	Language                                 string
	Title, Login, Field, Enter, Home, JobsUI string
	Logout, Wait, Seconds                    string
	Problems                                 map[string]string
}

var (
	languages = language.NewMatcher([]language.Tag{language.English, language.Spanish, language.BrazilianPortuguese})
	// all has the same order as the matcher.
	all = []texts{
		{
			Language: "en", Title: "Conciliar", Login: "Log in", Field: "Password", Enter: "Log in", Home: "Operations",
			JobsUI: "Jobs in River UI", Logout: "Log out", Wait: "Wait", Seconds: "seconds.",
			Problems: map[string]string{
				LoginWrong: "This did not work.", LoginTooMany: "Too many attempts.", LoginExpired: "Your login has ended.",
			},
		},
		{
			Language: "es", Title: "Conciliar", Login: "Ingresar", Field: "Contraseña", Enter: "Ingresar", Home: "Operaciones",
			JobsUI: "Trabajos en River UI", Logout: "Salir", Wait: "Espera", Seconds: "segundos.",
			Problems: map[string]string{
				LoginWrong: "No funcionó.", LoginTooMany: "Demasiados intentos.", LoginExpired: "Tu sesión terminó.",
			},
		},
		{
			Language: "pt-BR", Title: "Conciliar", Login: "Entrar", Field: "Senha", Enter: "Entrar", Home: "Operações",
			JobsUI: "Tarefas no River UI", Logout: "Sair", Wait: "Espere", Seconds: "segundos.",
			Problems: map[string]string{
				LoginWrong: "Não funcionou.", LoginTooMany: "Tentativas demais.", LoginExpired: "Sua sessão terminou.",
			},
		},
	}
)

// textsFor are the words that the browser prefers.
func textsFor(r *http.Request) texts {
	_, index := language.MatchStrings(languages, r.Header.Get("Accept-Language"))
	return all[index]
}
