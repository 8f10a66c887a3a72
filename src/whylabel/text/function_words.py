"""Function words: what a text of a language has whatever it is about. They are also labels now and then (IT, no)."""

from __future__ import annotations

from whylabel.text.words import tokens

_WORDS = {
    "en": """
        a about above after again against all also am among an and any are as at be because been
        before being below between both but by can cannot could did do does doing done down during
        each either else ever every few for from further had has have having he her here hers
        herself him himself his how however i if in into is it its itself just may me might mine
        more most much must my myself neither never no none nor not now of off often on once one
        only or other otherwise our ours out over own rather same shall she should since so some
        still such than that the their theirs them themselves then there therefore these they this
        those though through thus to too toward towards under until up upon us very was we were what
        whatever when where whether which while who whom whose why will with within without would
        yet you your yours yourself
    """,
    "de": """
        aber alle als also am an auch auf aus bei bin bis bist da das dass dem den denn der des die
        dies diese dieser dieses doch du durch ein eine einem einen einer er es euch für habe haben
        hat hatte ich ihm ihn ihnen ihr ihre im in ist ja jede kann kein keine können man mehr mein
        mich mir mit muss nach nicht noch nur ob oder ohne schon sehr sein seine sich sie sind so
        soll über um und uns unter vom von vor war waren was weil wenn wer wie will wir wird wo zu
        zum zur
    """,
    "fr": """
        a à ai alors après au aucun aussi autre aux avec avoir car ce cela ces cet cette chez comme
        dans de des donc du elle elles en est et être eux fait il ils je la le les leur leurs lui ma
        mais me même mes mon ne ni non nos notre nous on ont ou où par pas plus pour qu que qui sa
        sans se ses si son sont sous sur ta te tes toi ton tous tout très tu un une vos votre vous y
    """,
    "es": """
        a al algo ante antes aún bajo cada como con contra cual cuando de del desde donde dos
        durante e el él ella ellas ellos en entre era es esa ese eso esta está este esto fue ha hay
        he la las le les lo los más me mi mis mucho muy nada ni no nos nosotros o os otra otro para
        pero poco por porque que qué quien se sea ser si sí sin sobre solo son su sus también tan te
        tiene todo tu tú un una unos usted y ya yo
    """,
    "it": """
        a ad agli ai al alla alle allo altro anche avere ha ho hai che chi ci come con cui da dal
        dalla degli dei del della delle dello di dove e è ed era essere fa gli già ha i il in io la
        le lei li lo loro lui ma me mi mia mio molto ne nei nel nella no noi non nostro o ogni per
        perché più può qua quando quello questa questo se sei senza si sì sia solo sono su sua sue
        sul sulla suo tra tu tutti tutto un una uno vi voi
    """,
    "pt": """
        a à ainda ao aos as às até com como da das de dela dele depois do dos e é ela elas ele eles
        em entre era essa esse esta está este eu foi há isso já lhe lo mais mas me mesmo meu minha
        muito na não nas nem no nos nós o onde os ou para pela pelo por porque quando que quem se
        sem ser seu só sua também te tem todo tu um uma você
    """,
    "nl": """
        aan al alles als bij dan dat de der deze die dit doch door dus een en er ge geen had heb
        hebben heeft hem het hier hij hoe hun iets ik in is ja je kan kon maar me meer men met mij
        mijn na naar niet niets nog nu of om omdat onder ons ook op over te tegen toch toen tot u
        uit van veel voor want waren was wat we wel werd wie wij wil wordt zal ze zich zij zijn zo
        zonder zou
    """,
    "sv": """
        alla allt att av blev bli de dem den denna det detta dig din du där efter ej eller en er ett
        från för ha hade han hans har hon hur här i icke inte jag kan man med mig min mot mycket ni
        nu när något och om oss på samma sedan sig sin sina ska skulle som så till upp ut utan var
        vad vi vid vilken åt än är över
    """,
    "da": """
        af alle at blev bliver da de dem den denne der deres det dette dig din dog du efter eller en
        end er et for fra få har have havde han hans hende her hos hun hvad hvis hvor i ikke ind ja
        jeg kan kunne man med meget men mig min mod må nej noget nogle nu når og også om op os over
        på sig sin skal skulle som så til ud under var vi vil ville være
    """,
    "no": """
        alle at av bare ble bli da de dem den denne der det dette du då eller en er et etter for fra
        før ha hadde han hans har henne her hun hva hvis hvor i ikke inn ja jeg kan kunne man med
        meg men mer min mot må nei noe noen nå når og også om opp oss over på seg sin skal skulle
        som så til under ut var ved vi vil ville være
    """,
    "pl": """
        a aby albo ale ani bardzo bez bo by był była być co czy dla do gdy go i ich ile im ja jak
        jako je jego jej jest jestem już każdy kto który lub ma mi mnie może my na nad nam nas nic
        nie o od on ona one oni po pod przed przez są się ta tak także ten to tu tylko ty u w we wy
        z za ze że
    """,
    "ru": """
        а без бы был была были было быть в вам вас весь во вот все всё вы где да для до его ее её
        если есть еще ещё же за и из или им их к как ко когда кто ли мне может мы на над не него нее
        нет ни них но ну о об он она они оно от по под при с со так также там то тоже только ты у
        уже что чтобы эта эти это этот я
    """,
    "tr": """
        ama bana ben beni bir biz bu bunu çok da daha de değil diye en gibi hem hep her hiç için ile
        ise kadar ki kim mı mi mu mü ne neden o olan olarak onu sen siz şu var ve veya ya yok
    """,
    "vi": """
        bị bởi các cái cho có của cũng đã đang để đến được gì hay khi không là lại làm mà mỗi một
        này nếu như những nó ở phải qua rằng sẽ tôi từ và vẫn về vì với
    """,
    "zh": """
        是 不 否 有 无 無 没 沒 在 的 了 和 也 就 都 而 以 为 為 会 會 能 要 我 你 他 她 它
        这 這 那 不是 没有 沒有 可以 不会 不會 不能 其他
    """,
    "ja": """
        の に は を が で と も た て な い る か だ ない ある する いる こと 無 有
    """,
    "th": """
        ไม่ ใช่ ไม่ใช่ มี ไม่มี ได้ ไม่ได้ เป็น ที่ และ อื่น อื่นๆ
    """,
}
FUNCTION_WORDS = {language: frozenset(words.casefold().split()) for language, words in _WORDS.items()}
"""By language (ISO 639-1), case folded."""

ALWAYS_CAPITAL = {
    "en": {"I"},
    "de": {"Sie", "Ihr", "Ihre", "Ihnen", "Ihrem", "Ihren", "Ihrer"},
    "da": {"I", "De", "Dem", "Deres"},
}
"""Function words that begin with a capital inside a sentence, too."""


def language_by_function_words(text: str) -> str:
    """Return the language with the most function words in a text; English where there are none."""
    found = tokens(text)
    counts = {language: sum(word in words for word in found) for language, words in FUNCTION_WORDS.items()}
    return max(counts, key=lambda language: counts[language])
