class Everything:
    def __eq__(self, other):
        return True

    def __hash__(self):
        return 0

    def __repr__(self):
        return "*"


print(Everything(), Everything())
