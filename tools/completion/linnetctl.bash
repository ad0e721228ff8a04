# bash completion for linnetctl: source this file, or install it as
# /usr/share/bash-completion/completions/linnetctl. The words come from the running server
# (linnetctl help --json), so that commands of modules are completed too.

# Prints the commands' names, or with a command its options, or with "hosts" the hosts.
_linnetctl_words() {
	local ctl=("${@:2}")

	case $1 in
	commands) "${ctl[@]}" --json help 2>/dev/null | sed -n 's/^    "name": "\(.*\)",$/\1/p' ;;
	hosts) "${ctl[@]}" hosts 2>/dev/null | awk 'NR > 1 { print $1 }' ;;
	esac
}

# The arguments of command $1 as lines "name type option", in order.
_linnetctl_args() {
	"${@:2}" --json help "$1" 2>/dev/null | sed -n '
		s/^        "name": "\(.*\)",$/\1/; T type; h
		:type
		s/^        "type": "\(.*\)",$/\1/; T option; H
		:option
		s/^        "option": \(.*\),$/\1/; T; H; g; s/\n/ /g; p'
}

_linnetctl() {
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
	local ctl=("${COMP_WORDS[0]}") command= position=0 i word name type option

	COMPREPLY=()
	case $previous in
	--data) mapfile -t COMPREPLY < <(compgen -d -- "$current") && return ;;
	--socket | --config) mapfile -t COMPREPLY < <(compgen -f -- "$current") && return ;;
	esac
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		if [[ -n $command ]]; then
			[[ $word == --* ]] || ((++position))
		elif [[ $word == --data || $word == --socket || $word == --config ]]; then
			ctl+=("$word" "${COMP_WORDS[++i]}")
		elif [[ $word != --* ]]; then
			command=$word
		fi
	done
	if [[ -z $command ]]; then
		mapfile -t COMPREPLY < <(compgen -W "--data --socket --config --json --version --help \
			$(_linnetctl_words commands "${ctl[@]}")" -- "$current")
		return
	fi
	if [[ $command == help ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_linnetctl_words commands "${ctl[@]}")" -- "$current")
		return
	fi
	local words=()
	while read -r name type option; do
		if [[ $option == true ]]; then
			[[ $current == -* ]] && words+=("--$name")
		elif ((position-- == 0)) && [[ $type == host ]]; then
			mapfile -t -O "${#words[@]}" words < <(_linnetctl_words hosts "${ctl[@]}")
		fi
	done < <(_linnetctl_args "$command" "${ctl[@]}")
	mapfile -t COMPREPLY < <(compgen -W "${words[*]}" -- "$current")
}
complete -F _linnetctl linnetctl
